package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// minToken is how short a token may be.
const minToken = 32

// LoadToken reads the token in a file, or makes the file, for its owner alone to read, with a new token. It refuses a
// file that others can read.
func LoadToken(file string) (string, error) {
	text, err := readToken(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return "", err
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) { // another weir was faster
			return readToken(file)
		}
		if err != nil {
			return "", err
		}
		text = secret()
		_, err = f.WriteString(text + "\n")
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return "", errors.Join(err, os.Remove(file)) // half a token would be refused for ever
		}
		return text, nil
	}
	return text, err
}

func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: others can read this token: chmod 600 it, or remove it for a new one", file)
	}
	data, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if len(text) < minToken {
		return "", fmt.Errorf("%s: a token has at least %d characters: remove the file for a new one", file, minToken)
	}
	return text, nil
}

// secret returns 256 random bits as text.
func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Loopback returns Config.Hosts for a server on this machine alone.
func Loopback(port int) func(string) bool {
	known := []string{"127.0.0.1", "localhost", "[::1]"}
	return func(host string) bool {
		name, ok := strings.CutSuffix(host, fmt.Sprintf(":%d", port))
		return ok && slices.Contains(known, name) || port == 80 && slices.Contains(known, host)
	}
}

// Certified returns Config.Hosts for a server that is reached by the names of its certificate.
func Certified(leaf *x509.Certificate) func(string) bool {
	return func(host string) bool {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		return leaf.VerifyHostname(strings.Trim(host, "[]")) == nil
	}
}

// loopback reports whether what listens on a host is reached from this machine alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// links are the one-time links that were given out and not used.
type links struct {
	mu   sync.Mutex
	open [][sha256.Size]byte // hashes, the oldest first: at most maxLinks
}

const maxLinks = 8

// add returns a new secret that take accepts once.
func (l *links) add() string {
	code := secret()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, sha256.Sum256([]byte(code)))
	l.open = l.open[max(len(l.open)-maxLinks, 0):]
	return code
}

func (l *links) take(code string) bool {
	hash := sha256.Sum256([]byte(code))
	l.mu.Lock()
	defer l.mu.Unlock()
	found := -1
	for i := range l.open {
		if subtle.ConstantTimeCompare(hash[:], l.open[i][:]) == 1 {
			found = i
		}
	}
	if found >= 0 {
		l.open = slices.Delete(l.open, found, found+1)
	}
	return found >= 0
}

// Link returns the path of a link that lets one browser in, once.
func (s *Server) Link() string { return "/login?code=" + s.links.add() }

// cookieAge is how long a browser stays logged in.
const cookieAge = 30 * 24 * time.Hour

// cookie is what a browser shows instead of the token, from which it follows: it holds across a restart, ends
// with the token, and does not tell it.
func (s *Server) cookie() string {
	m := hmac.New(sha256.New, []byte(s.cfg.Token))
	io.WriteString(m, "weir dashboard cookie 1")
	return hex.EncodeToString(m.Sum(nil))
}

// cookieName differs by port, which cookies do not: two weirs on a machine do not log each other out.
func (s *Server) cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	if s.cfg.TLS {
		return "__Host-weir" + port
	}
	return "weir" + port
}

// login exchanges the code of a link for a cookie.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.links.take(r.URL.Query().Get("code")) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(r), Value: s.cookie(), Path: "/", MaxAge: int(cookieAge.Seconds()),
		HttpOnly: true, Secure: s.cfg.TLS, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// known reports whether a request bears the token or the cookie.
func (s *Server) known(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(bearer, s.cfg.Token)
	}
	c, err := r.Cookie(s.cookieName(r))
	return err == nil && same(c.Value, s.cookie())
}

// same compares secrets in a time that tells nothing of them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// policy is what pages of ours may do: run and load what is ours, and nothing else. Trusted types make the browser
// refuse every assignment of text as HTML: what the wire says stays text even where our code errs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard lets through what is allowed to ask.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	authenticated := crossOrigin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/login" && r.Method == http.MethodGet:
			s.login(w, r)
		case !s.known(r):
			w.WriteHeader(http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if s.cfg.TLS {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !s.cfg.Hosts(strings.ToLower(r.Host)) {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		switch { // probes bear no token, and learn one bit
		case r.Method == http.MethodGet && r.URL.Path == "/healthz":
			health(w, s.cfg.Healthy())
			return
		case r.Method == http.MethodGet && r.URL.Path == "/readyz":
			health(w, s.cfg.Ready())
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		authenticated.ServeHTTP(w, r)
	})
}

// maxBody bounds what a client may send.
const maxBody = 64 << 10
