package capture

import (
	"bytes"
	"strconv"
)

// Captures that carry process labels name, in the comment (opt_comment) of every packet whose
// process is known, the process that owns the packet's socket:
//
//	process=NAME
//	process=NAME pid=1234
//
// The comment starts with it; anything may follow on further lines. NAME is the process's own
// name (comm), so it may hold spaces, and whoever starts a process chooses it: it is nothing to
// trust.

// AppendProcess appends the process label to dst. Control characters in the name, which would
// end or forge a label, become '?'. A pid of 0 is left out.
func AppendProcess(dst []byte, name string, pid int) []byte {
	dst = append(dst, "process="...)
	for i := range len(name) {
		c := name[i]
		if c < ' ' || c == 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	if pid > 0 {
		dst = append(dst, " pid="...)
		dst = strconv.AppendInt(dst, int64(pid), 10)
	}
	return dst
}

// ParseProcess returns the process label of a packet's comment: the name, a slice of comment,
// and the pid, 0 if it is not there. ok is false when the comment holds no label.
func ParseProcess(comment []byte) (name []byte, pid int, ok bool) {
	line, _, _ := bytes.Cut(comment, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	name, ok = bytes.CutPrefix(line, []byte("process="))
	if !ok {
		return nil, 0, false
	}
	if i := bytes.LastIndex(name, []byte(" pid=")); i >= 0 {
		if n, err := strconv.ParseUint(string(name[i+len(" pid="):]), 10, 31); err == nil {
			name, pid = name[:i], int(n)
		}
	}
	if len(name) == 0 {
		return nil, 0, false
	}
	return name, pid, true
}
