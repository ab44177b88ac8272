package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// send returns the answer to a request as it is.
func send(s *Server, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8080"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

// TestStrangersGetNothing asks for everything there is without a token, with wrong ones, as another host and from another site.
func TestStrangersGetNothing(t *testing.T) {
	s := newTest(t, nil)
	var all []struct{ method, path string }
	for _, op := range operations {
		all = append(all, struct{ method, path string }{op.method, prefix + strings.NewReplacer("{id}", "1", "{by}", "apps", "{name}", "apps", "{version}", "1", "{number}", "1").Replace(op.path)})
	}
	for _, path := range append(views, "/assets/index.js", "/favicon.svg", "/nothing", "/metrics", "/login", "/login?code=", "/login?code="+token, prefix+"/nothing") {
		all = append(all, struct{ method, path string }{"GET", path})
	}
	good := "Bearer " + token
	tests := []struct {
		name   string
		status int
		header []string
	}{
		{"no token", 401, nil},
		{"wrong token", 401, []string{"Authorization", "Bearer 0123456789abcdef0123456789abcdee"}},
		{"empty token", 401, []string{"Authorization", "Bearer "}},
		{"token as cookie", 401, []string{"Cookie", "weir8080=" + token}},
		{"cookie of another port", 401, []string{"Cookie", "weir8081=" + s.cookie()}},
		{"token as password", 401, []string{"Authorization", "Basic " + token}},
		{"another host", 421, []string{"Authorization", good, "Host", "evil.example:8080"}},
		{"another port", 421, []string{"Authorization", good, "Host", "127.0.0.1:8081"}},
		{"no port", 421, []string{"Authorization", good, "Host", "localhost"}},
		{"host with ours in it", 421, []string{"Authorization", good, "Host", "127.0.0.1:8080.evil.example:8080"}},
	}
	for _, test := range tests {
		for _, one := range all {
			r := send(s, one.method, one.path, test.header...)
			body := read(t, r)
			if r.StatusCode != test.status || len(body) > 0 {
				t.Errorf("%s: %s %s: got %d and %d bytes, want %d and nothing", test.name, one.method, one.path, r.StatusCode, len(body), test.status)
			}
			for name := range r.Header {
				switch name {
				case "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
					"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy":
				default:
					t.Errorf("%s: %s %s: header %s", test.name, one.method, one.path, name)
				}
			}
		}
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1:8081"},
	} {
		r := send(s, "POST", prefix+"/alerts/1/verdict", append(header, "Cookie", "weir8080="+s.cookie())...)
		if r.StatusCode != http.StatusForbidden || len(read(t, r)) > 0 {
			t.Errorf("a post with %s: got %d", header, r.StatusCode)
		}
	}
	r := send(s, "POST", prefix+"/links", "Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin", "Cookie", "weir8080="+s.cookie())
	if r.StatusCode != 200 {
		t.Errorf("a post from our own page: got %d", r.StatusCode)
	}
}

// TestLink lets a browser in once.
func TestLink(t *testing.T) {
	s := newTest(t, nil)
	link := s.Link()
	r := send(s, "GET", link)
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/" || len(r.Cookies()) != 1 {
		t.Fatalf("got %d, %v", r.StatusCode, r.Header)
	}
	c := r.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || strings.Contains(c.Value, token) {
		t.Errorf("cookie %v", c)
	}
	if r := send(s, "GET", prefix+"/status", "Cookie", c.Name+"="+c.Value); r.StatusCode != 200 {
		t.Errorf("with the cookie: got %d", r.StatusCode)
	}
	if r := send(s, "GET", link); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
		t.Errorf("used a second time: got %d", r.StatusCode)
	}
	first := s.Link()
	for range maxLinks {
		s.Link()
	}
	if r := send(s, "GET", first); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the oldest of too many links: got %d", r.StatusCode)
	}
	secure := newTest(t, func(c *Config) { c.TLS = true })
	r = send(secure, "GET", secure.Link())
	if c := r.Cookies()[0]; !c.Secure || !strings.HasPrefix(c.Name, "__Host-") || r.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS: %v", r.Header)
	}
}

func TestBodyIsBounded(t *testing.T) {
	s := newTest(t, nil)
	r := ask(t, s, "POST", prefix+"/alerts/1/verdict", `{"verdict":"open","note":"`+strings.Repeat("a", maxBody)+`"}`)
	if r.StatusCode != 400 {
		t.Errorf("got %d", r.StatusCode)
	}
}

func TestPolicy(t *testing.T) {
	r := ask(t, newTest(t, nil), "GET", "/", "")
	csp := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy lacks %q: %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %s", csp)
	}
}

func TestLoadToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir", "token")
	made, err := LoadToken(file)
	if err != nil || len(made) != 64 {
		t.Fatal(made, err)
	}
	again, err := LoadToken(file)
	if err != nil || again != made {
		t.Fatalf("read again: %q, %v", again, err)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadToken(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("others can read it: %v", err)
		}
	}
	if err := os.WriteFile(file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(file, 0o600)
	if _, err := LoadToken(file); err == nil {
		t.Error("a short token is taken")
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "weir.example:0"} {
		if l, err := Listen(address, nil); !errors.Is(err, ErrNeedsTLS) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	l, err := Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestTLS reaches a server by its certificate's name, over TLS alone.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"weir.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	hosts := Certified(leaf)
	for host, want := range map[string]bool{
		"weir.example": true, "weir.example:8443": true, "127.0.0.1:8443": true, "other.example": false, "127.0.0.2:8443": false, "": false, "[::1]:8443": false,
	} {
		if hosts(host) != want {
			t.Errorf("host %q: %v", host, !want)
		}
	}
	s := newTest(t, func(c *Config) { c.TLS, c.Hosts = true, hosts })
	l, err := Listen("127.0.0.1:0", &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	r, err := http.NewRequest("GET", "https://"+l.Addr().String()+prefix+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	if got.StatusCode != 200 {
		t.Errorf("got %d", got.StatusCode)
	}
	client.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
