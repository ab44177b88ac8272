//go:build !amd64 || purego

package kernel

func (t *tile) run() { t.runPlain() }
