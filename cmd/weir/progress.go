package main

import (
	"fmt"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/weirnet/weir/train"
)

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	bar   *progressbar.ProgressBar
	quiet bool
	title string
}

// bar returns a progress bar with a title.
func (g *shared) bar(title string) *progress {
	return &progress{quiet: g.quiet || !term.IsTerminal(int(os.Stderr.Fd())), title: title}
}

func (p *progress) set(done, total int) {
	if p.quiet {
		return
	}
	if p.bar == nil || p.bar.GetMax() != total {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(p.title),
			progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
	}
	if err := p.bar.Set(done); err != nil {
		p.quiet = true // the terminal is gone: go on without
	}
}

func (p *progress) done() {
	if p.bar != nil {
		fmt.Fprint(os.Stderr, "\r\033[K")
		p.bar = nil
	}
}

// epochs shows a training run: a bar within the epoch, a line after it.
type epochs struct {
	*progress
	g *shared
}

func (g *shared) epochs() *epochs { return &epochs{g.bar("training"), g} }

func (e *epochs) step(done, total int) { e.set(done, total) }

func (e *epochs) appsEpoch(r train.Epoch) {
	e.done()
	if r.Refit {
		e.g.info("refit %3d  loss %.3f  %.1f s", r.Number, r.Loss, r.Seconds)
		return
	}
	e.g.info("epoch %3d  loss %.3f  validation: packets %.3f (loss %.3f)  flows %.3f (loss %.3f)  %.1f s",
		r.Number, r.Loss, r.PacketAccuracy, r.PacketLoss, r.FlowAccuracy, r.FlowLoss, r.Seconds)
}
