package nn

import (
	"sync"

	"github.com/weirnet/weir/internal/kernel"
)

// Model is anything with parameters: a struct of layers put together by hand.
type Model interface {
	Params() []*Param
}

// Replicas runs one model on several goroutines. Each worker has a replica: the weights of Main,
// activations and gradients of its own. It is used by one goroutine.
type Replicas[M Model] struct {
	Main M // its Grad receives the gradient of a batch; its layers are never run here

	main    []*Param
	workers []worker[M]
}

type worker[M Model] struct {
	model  M
	params []*Param
}

// NewReplicas makes workers ≥ 1 replicas of main with build, which must build a model of the
// same shape; build need not give it values.
func NewReplicas[M Model](main M, build func() M, workers int) *Replicas[M] {
	r := &Replicas[M]{Main: main, main: main.Params(), workers: make([]worker[M], max(1, workers))}
	for i := range r.workers {
		m := build()
		r.workers[i] = worker[M]{m, m.Params()}
		Share(r.workers[i].params, r.main)
	}
	return r
}

// Train computes the gradient of a batch of n samples into Main's Grad and returns the sum of
// what work returned, the loss. The batch is cut into shards of at most size samples, as even as
// can be, whatever the number of workers. work runs forward, loss and backward of samples
// [lo, hi) on the replica that it is given; p, with Train and Shard set, is for the layers.
// Gradients, losses and running statistics are added up in the order of the shards.
func (r *Replicas[M]) Train(p Pass, n, size int, work func(m M, p Pass, lo, hi int) float64) float64 {
	if n == 0 {
		ZeroGrad(r.main)
		return 0
	}
	var turn ticket
	turn.cond.L = &turn.mu
	loss := 0.0
	r.each(n, size, func(w *worker[M], shard, lo, hi int) {
		forget(w.params)
		own := p
		own.Train, own.Shard = true, shard
		part := work(w.model, own, lo, hi)
		turn.wait(shard)
		loss += part
		for i, q := range w.params {
			switch {
			case q.Buffer():
				if q.observed {
					q.observed = false
					for j, v := range q.Grad {
						q.Value[j] += q.Momentum * (v - q.Value[j])
					}
				}
			case shard == 0: // the sum begins with this gradient: nothing is moved
				r.main[i].Grad, q.Grad = q.grad(), r.main[i].Grad
			default:
				kernel.Add(r.main[i].Grad, q.grad())
			}
		}
		turn.next()
	})
	return loss
}

// Step clips the gradient that Train left in Main to the norm limit and takes a step of the
// optimiser, which must be of Main's parameters. It returns the norm. It gives the bits of
// [ClipGrad] and [Adam.Step], on all workers.
func (r *Replicas[M]) Step(a *Adam, limit, rate float64) float64 {
	for _, p := range a.params {
		p.grad() // there before many ask for it
	}
	r.spread(len(a.pieces), a.square)
	norm := a.norm()
	factor, rates := clip(norm, limit), a.next(rate)
	r.spread(len(a.pieces), func(i int) { a.move(i, factor, rates) })
	return norm
}

// spread runs work for every i below n, a run of them on each worker, when they are worth it.
func (r *Replicas[M]) spread(n int, work func(i int)) {
	workers := min(len(r.workers), n/4)
	if workers < 2 {
		for i := range n {
			work(i)
		}
		return
	}
	var wg sync.WaitGroup
	part := func(k int) {
		for i := k * n / workers; i < (k+1)*n/workers; i++ {
			work(i)
		}
	}
	for k := 1; k < workers; k++ {
		wg.Go(func() { part(k) })
	}
	part(0)
	wg.Wait()
}

// Each runs work over n samples in shards of at most size, on all workers at once, in no
// particular order: for evaluation.
func (r *Replicas[M]) Each(n, size int, work func(m M, lo, hi int)) {
	r.each(n, size, func(w *worker[M], _, lo, hi int) { work(w.model, lo, hi) })
}

// each hands the shards out in order, each to the next free worker.
func (r *Replicas[M]) each(n, size int, work func(w *worker[M], shard, lo, hi int)) {
	shards := (n + size - 1) / size
	bound := func(shard int) int { return shard * n / shards }
	if len(r.workers) == 1 {
		for s := range shards {
			work(&r.workers[0], s, bound(s), bound(s+1))
		}
		return
	}
	var mu sync.Mutex
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	run := func(w *worker[M]) {
		for s := take(); s < shards; s = take() {
			work(w, s, bound(s), bound(s+1))
		}
	}
	for i := 1; i < min(len(r.workers), shards); i++ {
		wg.Go(func() { run(&r.workers[i]) })
	}
	run(&r.workers[0])
	wg.Wait()
}

// ticket lets the shards pass one by one, in order.
type ticket struct {
	mu   sync.Mutex
	cond sync.Cond
	turn int
}

func (t *ticket) wait(shard int) {
	t.mu.Lock()
	for t.turn != shard {
		t.cond.Wait()
	}
	t.mu.Unlock()
}

func (t *ticket) next() {
	t.mu.Lock()
	t.turn++
	t.mu.Unlock()
	t.cond.Broadcast()
}
