#!/bin/sh
# Installs what the lab runs, on Debian 12 or later, as root. No service is started: the lab starts
# its own copies inside its namespaces.
set -eu

if [ ! -e /usr/sbin/policy-rc.d ]; then
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod +x /usr/sbin/policy-rc.d
fi
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y --no-install-recommends \
	iproute2 iputils-ping openssl \
	nginx-light curl wget \
	openssh-server openssh-client \
	dnsmasq-base bind9-dnsutils \
	redis-server redis-tools \
	postgresql postgresql-client \
	mariadb-server-core mariadb-client-core \
	git \
	opensmtpd swaks msmtp \
	dovecot-imapd isync \
	chrony ntpsec-ntpdig \
	rsync \
	vsftpd lftp \
	memcached libmemcached-tools \
	mosquitto mosquitto-clients \
	nmap hping3
