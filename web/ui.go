//go:build ui

package web

import (
	"embed"
	"io/fs"
)

//go:embed all:ui/dist
var dist embed.FS

// builtIn is the dashboard that this program was built with.
func builtIn() fs.FS {
	ui, err := fs.Sub(dist, "ui/dist")
	if err != nil {
		panic(err) // the path is right
	}
	return ui
}
