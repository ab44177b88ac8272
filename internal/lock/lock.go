// Package lock lets one process at a time write to a directory: it locks a file in it.
package lock

import "errors"

// ErrInUse says that another process has the lock.
var ErrInUse = errors.New("in use by another weir")
