//go:build linux

package main

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// conf is the servers' configuration and the script that starts them.
//
//go:embed conf
var conf embed.FS

var words = strings.Fields(`river dam weir sluice gate basin level gauge flow stream bank delta
	canal lock barge tide harbour bridge mill wheel water stone sand gravel reed heron otter trout
	spring winter summer autumn morning evening north south east west old new broad narrow deep
	shallow quiet swift measure record notes chart table count report follows passes rises falls
	turns holds carries slows between beneath above along across before after within until the
	a of to and in is was with for its that this from over near each every many`)

// prose returns n words of text in sentences and lines.
func prose(rng *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		word := words[rng.IntN(len(words))]
		switch {
		case i%11 == 0:
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		case i%11 == 10:
			b.WriteString(word + ".\n")
			continue
		default:
			b.WriteString(word)
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// noise returns n bytes that do not compress.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

const (
	pages  = 120 // of the web server: page1.html to page120.html
	images = 24
	boxes  = 30 // mailboxes: user1 to user30
	mails  = 12
	names  = 150 // in the name server: host1.lab.example to host150.lab.example
)

// furnishServers writes to dir what the servers of the lab serve.
func furnishServers(dir string, rng *rand.Rand) error {
	files := map[string]string{}
	for i := 1; i <= pages; i++ {
		title := prose(rng, 4)
		files[fmt.Sprintf("www/page%d.html", i)] = fmt.Sprintf("<!doctype html>\n<title>%s</title>\n<link rel=stylesheet href=/style.css>\n<h1>%[1]s</h1>\n<p>%s</p>\n", title, prose(rng, 20<<rng.IntN(9)))
		files[fmt.Sprintf("www/data%d.json", i)] = fmt.Sprintf("{\"id\":%d,\"title\":%q,\"values\":%s}\n", i, title, strings.ReplaceAll(fmt.Sprint(rng.Perm(8<<rng.IntN(6))), " ", ","))
	}
	files["www/index.html"] = files["www/page1.html"]
	files["www/style.css"] = "body { font: 16px/1.5 serif; margin: 2em auto; max-width: 40em }\nh1 { color: #135 }\n"
	for i := 1; i <= images; i++ {
		files[fmt.Sprintf("www/image%d.png", i)] = "\x89PNG\r\n\x1a\n" + noise(rng, 500<<rng.IntN(7))
	}
	for user := 1; user <= boxes; user++ {
		for i := range mails {
			files[fmt.Sprintf("mail/user%d/cur/%d.M%d.lab:2,S", user, 1700000000+i*5000, i)] = mail(rng, fmt.Sprintf("user%d@lab.example", user), i)
		}
	}
	var hosts, mysql, postgres, redis strings.Builder
	mysql.WriteString("create user lab@'%'; create database shop; grant all on shop.* to lab@'%'; use shop;\n")
	for i := 1; i <= names; i++ {
		fmt.Fprintf(&hosts, "10.77.%d.%d host%d.lab.example\nfd77::%x host%[3]d.lab.example\n", 1+i/50, i, i, 0x1000+i)
		fmt.Fprintf(&redis, "SET page:%d %q\nHSET user:%[1]d name %[3]s visits %[4]d\nRPUSH queue job:%[1]d\nZADD scores %[4]d user:%[1]d\n", i, prose(rng, 1+rng.IntN(60)), words[rng.IntN(len(words))], rng.IntN(1000))
	}
	table := "create table items (id int primary key, name varchar(40), price int, text varchar(400));\n"
	for _, sql := range []*strings.Builder{&mysql, &postgres} {
		sql.WriteString(table)
		for i := 1; i <= 300; i++ {
			fmt.Fprintf(sql, "insert into items values (%d, '%s', %d, '%s');\n", i, words[rng.IntN(len(words))], rng.IntN(10000), strings.TrimSpace(prose(rng, 4+rng.IntN(30))))
		}
		sql.WriteString("create table orders (item int, amount int, buyer varchar(40));\n")
	}
	mysql.WriteString("flush privileges;\n")
	files["names"], files["mysql.sql"], files["postgres.sql"], files["redis.txt"] = hosts.String(), mysql.String(), postgres.String(), redis.String()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mail returns a message as it lies in a mailbox and goes over SMTP.
func mail(rng *rand.Rand, to string, id int) string {
	return fmt.Sprintf("From: Lab <%s@lab.example>\r\nTo: %s\r\nSubject: %s\r\nDate: Mon, 2 Mar 2026 %02d:%02d:00 +0000\r\nMessage-ID: <%d.%d@lab.example>\r\n\r\n%s\r\n",
		words[rng.IntN(len(words))], to, strings.TrimSpace(prose(rng, 2+rng.IntN(6))), rng.IntN(24), rng.IntN(60), id, rng.Uint32(),
		strings.ReplaceAll(prose(rng, 10<<rng.IntN(7)), "\n", "\r\n"))
}
