package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// stream tells those who follow what is new. What is new is worked out and encoded once for all of them, at most every
// Limits.Every; a client whose queue is full is dropped and counted: its browser comes back by itself, and is told
// everything again.
type stream struct {
	cfg *Config

	mu      sync.Mutex
	clients map[*client]bool
	cursor  cursor // of the last update
	closed  bool

	slow    atomic.Uint64 // clients dropped for being slow
	refused atomic.Uint64 // clients that there was no place for
}

// client is one who follows.
type client struct {
	queue chan []byte   // updates, encoded
	gone  chan struct{} // closed when it was dropped
}

func (s *stream) init(cfg *Config) {
	s.cfg = cfg
	s.clients = map[*client]bool{}
}

// run sends what is new until ctx ends.
func (s *stream) run(ctx context.Context) {
	if s.cfg.Live == nil {
		return
	}
	tick := time.NewTicker(s.cfg.Limit.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.update()
		case <-ctx.Done():
			return
		}
	}
}

// update sends what is new to all.
func (s *stream) update() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) == 0 {
		return // the next one is told everything
	}
	s.catchUp()
}

// catchUp sends what is new up to now. The caller holds mu.
func (s *stream) catchUp() {
	from, to := s.cursor, s.cfg.Live.cursor()
	if s.cfg.Learn != nil {
		to.learn = s.cfg.Learn.Changes()
	}
	s.cursor = to
	if from == to || len(s.clients) == 0 {
		return
	}
	state := s.cfg.Live.between(from, to, s.cfg.Explain)
	if from.learn != to.learn {
		state.Learn = s.cfg.Learn.State()
	}
	message := encodeEvent("update", &state)
	for c := range s.clients {
		select {
		case c.queue <- message:
		default:
			s.drop(c)
			s.slow.Add(1)
		}
	}
}

// drop forgets a client. The caller holds mu.
func (s *stream) drop(c *client) {
	if s.clients[c] {
		delete(s.clients, c)
		close(c.gone)
	}
}

// join adds a client, whose first message is all there is. It returns nil when there is no place.
func (s *stream) join() *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.clients) >= s.cfg.Limit.Clients {
		s.refused.Add(1)
		return nil
	}
	c := &client{queue: make(chan []byte, s.cfg.Limit.Queue+1), gone: make(chan struct{})}
	all := emptyState()
	if s.cfg.Live != nil {
		s.catchUp()
		all = s.cfg.Live.between(cursor{}, s.cursor, s.cfg.Explain) // and the next update goes on from there
		all.Skipped = 0
	}
	if s.cfg.Learn != nil {
		all.Learn = s.cfg.Learn.State()
	}
	c.queue <- encodeEvent("state", &all)
	s.clients[c] = true
	return c
}

// leave forgets a client that went away.
func (s *stream) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(c)
}

// close drops all clients, and lets none in any more.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.clients {
		s.drop(c)
	}
}

// counts returns how many follow now, and how many were dropped and refused.
func (s *stream) counts() (now int, slow, refused uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients), s.slow.Load(), s.refused.Load()
}

// emptyState is what there is to tell where nothing is watched.
func emptyState() State {
	return State{Windows: newWindows(0), Rates: Rates{[]float64{}, []float64{}, []float64{}}, Alerts: []Brief{}, Ended: true}
}

// ServeHTTP lets a client follow: the event "state" is all there is, each "update" what is new. It ends when the client
// goes, is dropped, or does not take a message for a while.
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.join()
	if c == nil {
		w.Header().Set("Retry-After", "10")
		fail(w, http.StatusServiceUnavailable, "too many follow already")
		return
	}
	defer s.leave(c)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	message := []byte("retry: 1000\n\n")
	for {
		out.SetWriteDeadline(time.Now().Add(writeWait))
		if _, err := w.Write(message); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
		select {
		case message = <-c.queue:
		case <-alive.C:
			message = []byte(": alive\n\n")
		case <-c.gone:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// keepAlive is how often something is sent to a client when there is nothing new, writeWait how long sending may take.
const (
	keepAlive = 15 * time.Second
	writeWait = 10 * time.Second
)

func encodeEvent(name string, state *State) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\ndata: ", name)
	enc := json.NewEncoder(&b) // ends the line, and there is none within
	if err := enc.Encode(state); err != nil {
		return fmt.Appendf(nil, "event: fault\ndata: %q\n\n", err.Error())
	}
	b.WriteByte('\n')
	return b.Bytes()
}
