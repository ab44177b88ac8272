package capture

import (
	"fmt"
	"testing"
)

func TestParseProcess(t *testing.T) {
	for _, test := range []struct {
		comment string
		name    string
		pid     int
		ok      bool
	}{
		{"process=curl", "curl", 0, true},
		{"process=curl pid=12", "curl", 12, true},
		{"process=Web Content pid=2147483647", "Web Content", 2147483647, true},
		{"process=Web Content", "Web Content", 0, true},
		{"process=a pid=x", "a pid=x", 0, true},
		{"process=a pid=1 pid=2", "a pid=1", 2, true},
		{"process=a pid=-1", "a pid=-1", 0, true},
		{"process=a pid=99999999999", "a pid=99999999999", 0, true},
		{"process=curl pid=12\nuser=root", "curl", 12, true},
		{"process=curl\r\nmore", "curl", 0, true},
		{"process=", "", 0, false},
		{"process= pid=3", "", 0, false},
		{" process=curl", "", 0, false},
		{"note\nprocess=curl", "", 0, false},
		{"", "", 0, false},
	} {
		name, pid, ok := ParseProcess([]byte(test.comment))
		if string(name) != test.name && ok || pid != test.pid && ok || ok != test.ok {
			t.Errorf("ParseProcess(%q) = %q, %d, %v; want %q, %d, %v", test.comment, name, pid, ok, test.name, test.pid, test.ok)
		}
	}
}

func ExampleAppendProcess() {
	fmt.Printf("%s\n", AppendProcess(nil, "nginx", 4711))
	fmt.Printf("%s\n", AppendProcess(nil, "a\nprocess=sshd", 0))
	// Output:
	// process=nginx pid=4711
	// process=a?process=sshd
}
