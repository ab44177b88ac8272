package web

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// BenchmarkQueries asks what the dashboard asks of a history of a day with a million flows: each answer from the request to its
// last byte, without the network.
func BenchmarkQueries(b *testing.B) {
	const flows = 1_000_000
	w, err := store.Create(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r, err := store.NewRecorder(context.Background(), w, store.Source{Name: "bench"}, store.RecorderOptions{Wait: true})
	if err != nil {
		b.Fatal(err)
	}
	live := NewLive()
	g := storetest.NewGenerator(1, 5000)
	g.Every = 24 * time.Hour / flows
	host := ""
	for n := 0; n < flows; {
		e := g.Next()
		if e.Type == event.TypeFlow {
			if n++; n == flows/2 {
				host = e.Tuple.SrcIP
			}
		}
		live.Observe(&e)
		if err := r.Write(&e); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(true); err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Live: live, History: w, Token: token, Hosts: Loopback(8080)})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range []struct{ name, path string }{
		{"live", "/live"}, {"status", "/status"}, {"top apps", "/top/apps"}, {"top hosts", "/top/hosts?limit=8"}, {"scores", "/scores"},
		{"incidents", "/incidents"}, {"alert", "/alerts/1"}, {"newest flows", "/flows"}, {"flows of a host", "/flows?host=" + host},
		{"flows of a host and an application", "/flows?app=ssh&host=" + host}, {"unknown", "/unknown"},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest("GET", prefix+q.path, nil)
				r.Host = "127.0.0.1:8080"
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Set("Accept-Encoding", "gzip")
				out := httptest.NewRecorder()
				s.Handler().ServeHTTP(out, r)
				if out.Code != 200 {
					b.Fatal(fmt.Sprint(out.Code, out.Body))
				}
			}
		})
	}
}
