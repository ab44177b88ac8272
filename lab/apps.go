//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
)

// App is one application of the lab: a server's ports, by which its frames are known, and what
// a client does in one sitting, one to a few seconds long.
type App struct {
	Name   string // the label
	Ports  [2]uint16
	Weight int // how often it comes in mixed traffic, 0 for never: the one kept unseen
	Sit    func(*Session)
}

// passive is the range of ports of FTP's data connections (conf/vsftpd.conf).
const passiveFirst, passiveLast = 20000, 20099

// Apps are the applications of the lab. Every port has one server, so the port of the server
// tells the program truly: the lab made it so.
var Apps = []App{
	{"http", [2]uint16{80}, 10, func(s *Session) { browse(s, "http") }},
	{"https", [2]uint16{443}, 10, func(s *Session) { browse(s, "https") }},
	{"ssh", [2]uint16{22}, 4, shell},
	{"dns", [2]uint16{53}, 12, lookUp},
	{"redis", [2]uint16{6379}, 6, redis},
	{"postgres", [2]uint16{5432}, 5, postgres},
	{"mysql", [2]uint16{3306}, 5, mysql},
	{"git", [2]uint16{9418}, 3, git},
	{"smtp", [2]uint16{25}, 4, sendMail},
	{"imap", [2]uint16{143, 993}, 5, readMail},
	{"ntp", [2]uint16{123}, 3, askTime},
	{"rsync", [2]uint16{873}, 2, rsync},
	{"ftp", [2]uint16{21}, 3, ftp},
	{"memcached", [2]uint16{11211}, 4, memcached},
	{"mqtt", [2]uint16{1883}, 0, mqtt},
}

// appOf returns the application of a TCP or UDP port, or nil.
func appOf(port uint16) *App {
	if passiveFirst <= port && port <= passiveLast {
		port = 21
	}
	for i := range Apps {
		if port == Apps[i].Ports[0] || port == Apps[i].Ports[1] && port != 0 {
			return &Apps[i]
		}
	}
	return nil
}

func browse(s *Session, scheme string) {
	site := scheme + "://" + s.name("www")
	page := func() string { return fmt.Sprintf("%s/page%d.html", site, s.upTo(pages)) }
	agent := s.pick("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", "feedreader/2.1")
	curl := []string{"curl", "-ksS", "-o", "/dev/null"}
	switch s.upTo(8) {
	case 1:
		s.run(append(curl, site+"/")...)
	case 2: // a page and what it shows, on one connection
		for range 1 + s.upTo(3) {
			curl = append(curl, fmt.Sprintf("%s/image%d.png", site, s.upTo(images)), "-o", "/dev/null")
		}
		s.run(append(curl, page(), "-o", "/dev/null", site+"/style.css", "-A", agent, "--compressed")...)
	case 3:
		s.run(append(curl, "-A", agent, "-H", "Accept: application/json", fmt.Sprintf("%s/data%d.json", site, s.upTo(pages)))...)
	case 4:
		s.run(append(curl, "--data-urlencode", "text="+prose(s.rng, s.upTo(80)), "-d", "id="+s.pick("7", "42", "1001"), site+"/api/notes")...)
	case 5:
		s.run(append(curl, "-I", "--http1.1", page())...)
	case 6:
		s.run(append(curl, "-L", "--tls-max", "1.2", s.pick(site+"/old/page", site+"/missing", page()))...)
	case 7:
		s.run("wget", "-q", "--no-check-certificate", "-O", "/dev/null", page(), site+"/style.css")
	default: // a poller: the same small thing again and again
		for range 2 + s.upTo(3) {
			s.run(append(curl, site+"/api/status", "-H", "Authorization: Bearer lab-"+s.pick("a", "b", "c"))...)
			s.pause(300)
		}
	}
}

func shell(s *Session) {
	ssh := []string{"ssh", "-F", "/srv/conf/ssh_config", s.name("shell")}
	switch s.upTo(4) {
	case 1:
		s.run(append(ssh, s.pick("uptime", "ls -l /srv/www", "ps ax", "true"))...)
	case 2: // a person at a terminal
		s.typed(append([]string{"ssh", "-tt", "-F", "/srv/conf/ssh_config", s.name("shell")}, "sh"),
			"ls /srv/www\n", "wc -c /srv/www/*\n", "exit\n")
	case 3:
		s.run("scp", "-qF", "/srv/conf/ssh_config", fmt.Sprintf("/srv/www/image%d.png", s.upTo(images)), "["+s.name("shell")+"]:/srv/drop/")
	default:
		s.feed("ls\nget page1.html /dev/null\nbye\n", "sftp", "-qF", "/srv/conf/ssh_config", s.name("shell")+":/srv/www")
	}
}

func lookUp(s *Session) {
	for range s.upTo(4) {
		dig := []string{"dig", "+tries=1", "@" + s.name("ns")}
		host := fmt.Sprintf("host%d.lab.example", s.upTo(names))
		switch s.upTo(8) {
		case 1, 2, 3:
			dig = append(dig, host)
		case 4:
			dig = append(dig, "AAAA", host)
		case 5:
			dig = append(dig, "-x", fmt.Sprintf("10.77.0.%d", s.upTo(9)))
		case 6:
			dig = append(dig, s.pick("MX", "TXT"), s.pick("lab.example", "shop.lab.example", "_policy.lab.example"))
		case 7:
			dig = append(dig, "+noedns", s.pick("SRV", "A"), s.pick("_imap._tcp.lab.example", "web.lab.example", "nobody.lab.example"))
		default:
			dig = append(dig, "+tcp", host, "AAAA", "lab.example", "MX")
		}
		s.run(dig...)
		s.pause(100)
	}
}

func redis(s *Session) {
	cli := []string{"redis-cli", "-h", s.name("data")}
	key := fmt.Sprint("page:", s.upTo(20*names)) // most are not there
	switch s.upTo(7) {
	case 1:
		s.run(append(cli, "GET", key)...)
	case 2:
		s.run(append(cli, "SET", key, prose(s.rng, s.upTo(40)), "EX", "600")...)
	case 3: // as a person at the prompt: redis-cli asks for all commands first
		s.feed(strings.Repeat(fmt.Sprintf("INCR visits\nHGETALL user:%d\nLPUSH queue job:%d\nLPOP queue\n", s.upTo(names), s.upTo(9999)), s.upTo(4)), cli...)
	case 4:
		s.run(append(cli, strings.Fields(s.pick("INFO stats", "DBSIZE", "PING"))...)...)
	case 5, 6:
		s.feed(fmt.Sprintf("INCR visits\r\nLPUSH queue job:%d\r\nHGETALL user:%d\r\n", s.upTo(9999), s.upTo(names)), append(cli, "--pipe")...)
	default:
		s.run(append(cli, "ZRANGE", "scores", "0", fmt.Sprint(s.upTo(names)), "WITHSCORES")...)
	}
}

// query returns a statement that both databases know.
func query(s *Session) string {
	id := s.upTo(300)
	switch s.upTo(5) {
	case 1:
		return fmt.Sprintf("select * from items where id = %d;", id)
	case 2:
		return fmt.Sprintf("insert into orders values (%d, %d, '%s');", id, s.upTo(9), s.pick(words...))
	case 3:
		return fmt.Sprintf("select name, price from items where price < %d order by price limit %d;", s.upTo(9999), s.upTo(50))
	case 4:
		return fmt.Sprintf("update items set price = price + 1 where id = %d;", id)
	default:
		return "select name, count(*), avg(price) from items group by name;"
	}
}

func postgres(s *Session) {
	to := "host=" + s.name("data") + " user=lab dbname=shop sslmode=" + s.pick("disable", "disable", "require")
	if s.upTo(24) == 1 {
		s.run("pg_dump", "-t", "orders", to)
		return
	}
	s.feed(strings.Repeat(query(s)+"\n", s.upTo(2))+query(s), "psql", "-qX", to)
}

func mysql(s *Session) {
	cmd := []string{"mariadb", "--no-defaults", "-h", s.name("data"), "-u", "lab", "shop"}
	if s.upTo(8) == 1 {
		s.feed("show tables; show table status; show variables like 'max%';", cmd...)
		return
	}
	s.feed(query(s)+"\n"+strings.Repeat(query(s)+"\n", s.upTo(3)), cmd...)
}

func git(s *Session) {
	from := "git://" + s.name("code") + "/" + s.pick("tools", "site", "notes") + ".git"
	tree, err := os.MkdirTemp("/srv/run", "tree")
	if err != nil {
		return
	}
	defer os.RemoveAll(tree)
	if s.upTo(3) == 1 {
		s.run("git", "ls-remote", from)
		return
	}
	if !s.run("git", "clone", "-q", "--depth", fmt.Sprint(s.upTo(12)), from, tree) {
		return
	}
	s.pause(300)
	if s.upTo(2) == 1 {
		s.run("git", "-C", tree, "fetch", "-q", "--unshallow")
		return
	}
	os.WriteFile(tree+"/"+s.pick(words...)+".txt", []byte(prose(s.rng, s.upTo(300))), 0o644)
	s.run("git", "-C", tree, "add", ".")
	s.run("git", "-C", tree, "commit", "-q", "-m", strings.TrimSpace(prose(s.rng, 5)))
	s.run("git", "-C", tree, "push", "-q", "origin", "HEAD:refs/heads/"+s.pick(words...)+fmt.Sprint(s.upTo(999)))
}

func sendMail(s *Session) {
	to := fmt.Sprintf("user%d@lab.example", s.upTo(boxes))
	server, helo, body := s.name("mail"), s.host.Name+".lab.example", mail(s.rng, to, s.upTo(9999))
	switch s.upTo(4) {
	case 1:
		s.run("swaks", "-S", "-s", "mail.lab.example", "-f", "alice@lab.example", "-t", to, "-h", helo, "--body", prose(s.rng, s.upTo(200)))
	case 2:
		s.run("swaks", "-S", "-s", "mail.lab.example", "-f", "bob@lab.example", "-t", to, "-h", helo, "--header", "Subject: "+s.pick(words...), "--attach", fmt.Sprintf("@/srv/www/page%d.html", s.upTo(pages)))
	case 3:
		s.feed(body, "msmtp", "-C", "/dev/null", "--host="+server, "--domain="+helo, "--from=carol@lab.example", "--tls=off", to)
	default:
		s.feed(body, "curl", "-sS", "smtp://"+server+"/"+helo, "--mail-from", "dave@lab.example", "--mail-rcpt", to, "-T", "-")
	}
}

func readMail(s *Session) {
	user, secret := fmt.Sprintf("user%d", s.upTo(boxes)), s.pick(words...)+"-"+s.pick(words...)
	curl := []string{"curl", "-ksS", "-o", "/dev/null", "-u", user + ":" + secret}
	box := "imap://" + s.name("mail") + "/"
	switch s.upTo(6) {
	case 1:
		s.run(append(curl, box)...)
	case 2:
		s.run(append(curl, fmt.Sprintf("%sINBOX;MAILINDEX=%d", box, s.upTo(mails)), "-o", "/dev/null", fmt.Sprintf("%sINBOX;MAILINDEX=%d;SECTION=TEXT", box, s.upTo(mails)))...)
	case 3:
		s.run(append(curl, box+"INBOX", "-X", s.pick("SEARCH FROM river", "FETCH 1:8 FLAGS", "STATUS INBOX (MESSAGES UNSEEN)"))...)
	case 4:
		s.run(append(curl, "--ssl-reqd", box+"INBOX;MAILINDEX=1")...)
	case 5:
		s.run(append(curl, strings.Replace(box, "imap:", "imaps:", 1)+"INBOX;MAILINDEX=2")...)
	default: // a mail program that brings its copy of the mailbox up to date
		dir, err := os.MkdirTemp("/srv/run", "mail")
		if err != nil {
			return
		}
		defer os.RemoveAll(dir)
		rc := fmt.Sprintf("IMAPAccount lab\nHost %s\nUser %s\nPass %s\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount lab\n\nMaildirStore near\nInbox %s/box\n\nChannel all\nFar :far:\nNear :near:\nCreate Near\nSyncState *\nMaxMessages 4\n", s.name("mail"), user, secret, dir)
		if os.WriteFile(dir+"/rc", []byte(rc), 0o600) == nil {
			s.run("mbsync", "-q", "-c", dir+"/rc", "all")
		}
	}
}

func askTime(s *Session) {
	for range s.upTo(2) {
		if s.upTo(3) == 1 {
			s.run("chronyd", "-Q", "-t", "4", "-u", "root", fmt.Sprintf("pidfile /srv/run/%d.pid", s.rng.Uint32()), "server "+s.name("time")+" iburst maxsamples "+s.pick("1", "2"))
		} else {
			s.run("ntpdig", "-t", "2", "-s", s.pick("1", "1", "2"), s.name("time"))
		}
		s.pause(200)
	}
}

func rsync(s *Session) {
	far := "rsync://" + s.name("files")
	how := s.pick("-r", "-rt", "-rz", "-a", "-ac")
	switch s.upTo(4) {
	case 1:
		s.run("rsync", far+s.pick("/", "/www/", fmt.Sprintf("/www/page%d*", s.upTo(pages))))
	case 2, 3:
		s.run("rsync", how, fmt.Sprintf("%s/www/page%d.html", far, s.upTo(pages)), fmt.Sprintf("%s/www/data%d.json", far, s.upTo(pages)), "/srv/run/copy-"+s.host.Name)
	default:
		dir, err := os.MkdirTemp("/srv/run", "send")
		if err != nil {
			return
		}
		defer os.RemoveAll(dir)
		os.WriteFile(dir+"/"+s.pick(words...)+".txt", []byte(prose(s.rng, s.upTo(500))), 0o644)
		s.run("rsync", how, dir+"/", fmt.Sprintf("%s/drop/%s%d/", far, s.pick(words...), s.upTo(999)))
	}
}

func ftp(s *Session) {
	far := "ftp://" + s.name("files") + "/"
	user := "anonymous:" + s.pick(words...) + "@" + s.host.Name + ".lab.example"
	switch s.upTo(3) {
	case 1:
		s.run("curl", "-sS", "-u", user, "-o", "/dev/null", fmt.Sprintf("%spub/page%d.html", far, s.upTo(pages)))
	case 2:
		s.feed(prose(s.rng, s.upTo(400)), "curl", "-sS", "-u", user, "-T", "-", fmt.Sprintf("%sincoming/%s%d.txt", far, s.pick(words...), s.rng.Uint32()))
	default:
		s.run("lftp", "-e", fmt.Sprintf("set net:max-retries 1; cls -l pub/page%d*; cat pub/data%d.json; bye", s.upTo(9), s.upTo(pages)), "-u", strings.Replace(user, ":", ",", 1), far)
	}
}

func memcached(s *Session) {
	server := "--servers=" + s.name("data")
	dir, err := os.MkdirTemp("/srv/run", "cache")
	if err != nil {
		return
	}
	defer os.RemoveAll(dir)
	file := dir + "/" + s.pick(words...) + fmt.Sprint(s.upTo(50))
	os.WriteFile(file, []byte(prose(s.rng, s.upTo(300))), 0o644)
	s.run("memccp", server, file)
	s.pause(200)
	switch s.upTo(4) {
	case 1:
		s.run("memcrm", server, file[len(dir)+1:])
	case 2:
		s.run("memcstat", server)
	case 3:
		s.run("memccp", "--binary", server, file)
	default:
		s.run("memccat", server, file[len(dir)+1:])
	}
}

func mqtt(s *Session) {
	broker, topic := s.name("broker"), "lab/"+s.pick("river", "weir", "basin")+"/level"
	if s.upTo(3) == 1 {
		s.run("mosquitto_sub", "-h", broker, "-t", "lab/#", "-q", s.pick("0", "1"), "-W", fmt.Sprint(1+s.upTo(3)))
		return
	}
	for range s.upTo(3) {
		s.run("mosquitto_pub", "-h", broker, "-t", topic, "-q", s.pick("0", "1", "2"), "-m", fmt.Sprintf(`{"level_mm":%d,"at":%d}`, s.upTo(4000), s.upTo(86400)))
		s.pause(200)
	}
	s.feed(prose(s.rng, 60), "mosquitto_pub", "-h", broker, "-t", topic, "-l")
}
