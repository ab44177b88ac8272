#!/bin/sh
# Starts every server of the lab in this network namespace, from /srv/conf and the contents that
# content.go has written, and waits until they answer. Runs as root in the lab's own mounts.
set -eu
cd /srv
export LC_ALL=C.UTF-8 GIT_CONFIG_GLOBAL=/srv/conf/gitconfig
mkdir -p ssh run nginx drop git ftp /run/vsftpd /run/sshd /run/dovecot
chmod 1777 run

# Keys and certificates, made anew for each recording.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
	-subj "/O=weir lab/CN=www.lab.example" -addext "subjectAltName=DNS:*.lab.example,DNS:lab.example" \
	-keyout tls.key -out tls.crt 2>/dev/null
install -o postgres -m 0600 tls.key pg.key
chmod 0600 tls.key
ssh-keygen -q -t ed25519 -N '' -C host@lab.example -f ssh/host
ssh-keygen -q -t ed25519 -N '' -C user@lab.example -f ssh/user

# Contents of the databases, the repositories and the file servers.
chown -R 65534:65534 mail
cp -r www ftp/pub
mkdir -m 0777 ftp/incoming
for name in tools site notes; do
	git init -q --bare git/$name.git
	touch git/$name.git/git-daemon-export-ok
	git -C git/$name.git config receive.denyCurrentBranch ignore
	git clone -q git/$name.git run/$name 2>/dev/null
	for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
		cp www/page$n.html www/page$((n + 9)).html run/$name/
		git -C run/$name add .
		git -C run/$name commit -q -m "$name: revision $n"
	done
	git -C run/$name push -q origin HEAD
done
install -d -o postgres -m 0700 pg
pgbin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
runuser -u postgres -- "$pgbin/initdb" -D /srv/pg -U lab -A trust --no-sync >/dev/null
echo 'host all all all trust' >>pg/pg_hba.conf
mariadb-install-db --user=nobody --datadir=/srv/mysql --skip-test-db \
	--auth-root-authentication-method=normal >/dev/null

# The servers. They stay in the foreground: this script's parent ends them with the namespaces.
start() { "$@" </dev/null >>"/srv/run/${1##*/}.log" 2>&1 & }
start nginx -c /srv/conf/nginx.conf
start /usr/sbin/sshd -D -f /srv/conf/sshd_config
start dnsmasq -C /srv/conf/dnsmasq.conf
start redis-server --bind '*' '-::*' --protected-mode no --save '' --dir /srv/run
start runuser -u postgres -- "$pgbin/postgres" -D /srv/pg -c listen_addresses='*' \
	-c unix_socket_directories=/srv/run -c fsync=off \
	-c ssl=on -c ssl_cert_file=/srv/tls.crt -c ssl_key_file=/srv/pg.key
start mariadbd --no-defaults --user=nobody --datadir=/srv/mysql --socket=/srv/run/mysql.sock \
	--bind-address='*' --skip-name-resolve --innodb-flush-log-at-trx-commit=0 --innodb-log-file-size=8M
start git daemon --base-path=/srv/git --reuseaddr --enable=receive-pack
start smtpd -d -f /srv/conf/smtpd.conf
start dovecot -F -c /srv/conf/dovecot.conf
start chronyd -x -d -u root -f /srv/conf/chrony.conf
start rsync --daemon --no-detach --config=/srv/conf/rsyncd.conf
start vsftpd /srv/conf/vsftpd.conf
start memcached -u nobody -l 0.0.0.0,::
start mosquitto -c /srv/conf/mosquitto.conf

for n in $(seq 60); do
	if mariadb --no-defaults -h 127.0.0.1 -u root -e 'select 1' >/dev/null 2>&1 &&
		psql -qAt -h 127.0.0.1 -U lab -d postgres -c 'select 1' >/dev/null 2>&1; then
		break
	fi
	sleep 0.5
done
mariadb --no-defaults -h 127.0.0.1 -u root <mysql.sql
createdb -h 127.0.0.1 -U lab shop
psql -q -h 127.0.0.1 -U lab -d shop -f postgres.sql
redis-cli <redis.txt >/dev/null
for port in 21 22 25 53 80 143 443 873 993 1883 3306 5432 6379 9418 11211; do
	ss -Hltn "sport = :$port" | grep -q . || echo "nothing listens on port $port" >&2
done
