//go:build !ui

package web

import "io/fs"

// builtIn is the dashboard that this program was built with: none.
func builtIn() fs.FS { return nil }
