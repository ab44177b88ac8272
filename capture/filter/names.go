package filter

// encapsulations are the protocols that a link layer names, by their EtherTypes:
// https://www.iana.org/assignments/ieee-802-numbers. Those that have none (0) are told by IEEE
// 802.2 headers.
var encapsulations = map[string]uint32{
	"ip": 0x0800, "ip6": 0x86dd, "arp": 0x0806, "rarp": 0x8035, "atalk": 0x809b, "aarp": 0x80f3,
	"decnet": 0x6003, "lat": 0x6004, "sca": 0x6007, "moprc": 0x6002, "mopdl": 0x6001, "loopback": 0x9000,
	"ipx": 0x8137, "iso": 0, "stp": 0, "netbeui": 0,
}

// numbersWithNames are numbers of "ether proto" that stand for more than themselves, as a name does:
// service access points of IEEE 802.2, and EtherTypes of protocols that are sent behind SNAP too.
var numbersWithNames = map[uint32]string{
	0x42: "stp", 0xe0: "ipx", 0xf0: "netbeui", 0xfe: "iso", 0x809b: "atalk", 0x80f3: "aarp",
}

// transports are the protocols above IP that have a keyword: their numbers, and where they are
// looked for.
var transports = map[string]struct {
	number   uint32
	in4, in6 bool
	fields   bool // proto[…] is known; IPv4 alone, but for icmp6
}{
	"tcp": {6, true, true, true}, "udp": {17, true, true, true}, "sctp": {132, true, true, true},
	"icmp": {1, true, false, true}, "icmp6": {58, false, true, true}, "igmp": {2, true, false, true},
	"igrp": {9, true, false, true}, "pim": {103, true, true, true}, "vrrp": {112, true, false, true},
	"carp": {112, true, false, true}, "ah": {51, true, true, false}, "esp": {50, true, true, false},
}

// isoProtocols are ISO/IEC TR 9577 network layer protocol identifiers.
var isoProtocols = map[string]uint32{"clnp": 0x81, "esis": 0x82, "es-is": 0x82, "isis": 0x83, "is-is": 0x83}

// isisTypes are the PDU types of IS-IS (ISO/IEC 10589) that a keyword stands for, in tcpdump's
// order.
var isisTypes = map[string][]uint32{
	"l1": {26, 24, 18, 15, 17}, "l2": {27, 25, 20, 16, 17}, "iih": {17, 15, 16}, "lsp": {18, 20},
	"snp": {27, 26, 24, 25}, "csnp": {24, 25}, "psnp": {26, 27},
}

// llcTypes are what the control byte of IEEE 802.2 is under a mask.
var llcTypes = map[string]struct{ mask, value uint32 }{
	"i": {0x01, 0x00}, "s": {0x03, 0x01}, "u": {0x03, 0x03},
	"rr": {0x0f, 0x01}, "rnr": {0x0f, 0x05}, "rej": {0x0f, 0x09},
	"ui": {0xef, 0x03}, "ua": {0xef, 0x63}, "disc": {0xef, 0x43}, "sabme": {0xef, 0x6f},
	"test": {0xef, 0xe3}, "xid": {0xef, 0xaf}, "frmr": {0xef, 0x87},
}

// protocolNumbers are names for "ip proto": https://www.iana.org/assignments/protocol-numbers.
// Those that are keywords must stand behind a backslash.
var protocolNumbers = map[string]uint32{
	"icmp": 1, "igmp": 2, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "rdp": 27,
	"dccp": 33, "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47,
	"esp": 50, "ah": 51, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "eigrp": 88, "ospf": 89,
	"ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
	"sctp": 132, "mobility-header": 135, "udplite": 136, "mpls-in-ip": 137, "hip": 139, "shim6": 140,
}

// A portName is a port that has a name, and the only protocol that it belongs to, if it does to one
// alone.
type portName struct {
	port uint32
	only string // "tcp", "udp", or "" for both
}

// portNames are the names that ports are commonly called by, with the protocols that Debian's
// /etc/services gives them; it is not read, so that a filter means the same everywhere.
var portNames = map[string]portName{
	"echo": {7, ""}, "discard": {9, ""}, "daytime": {13, ""}, "chargen": {19, ""},
	"ftp-data": {20, "tcp"}, "ftp": {21, "tcp"}, "ssh": {22, "tcp"}, "telnet": {23, "tcp"}, "smtp": {25, "tcp"},
	"time": {37, ""}, "whois": {43, "tcp"}, "tacacs": {49, ""}, "domain": {53, ""}, "bootps": {67, "udp"},
	"bootpc": {68, "udp"}, "tftp": {69, "udp"}, "gopher": {70, "tcp"}, "finger": {79, "tcp"}, "http": {80, "tcp"},
	"kerberos": {88, ""}, "iso-tsap": {102, "tcp"}, "pop3": {110, "tcp"}, "sunrpc": {111, ""}, "auth": {113, "tcp"},
	"nntp": {119, "tcp"}, "ntp": {123, "udp"}, "epmap": {135, "tcp"}, "netbios-ns": {137, "udp"},
	"netbios-dgm": {138, "udp"}, "netbios-ssn": {139, "tcp"}, "imap2": {143, "tcp"}, "snmp": {161, ""},
	"snmp-trap": {162, ""}, "xdmcp": {177, "udp"}, "bgp": {179, "tcp"}, "ldap": {389, ""}, "svrloc": {427, ""},
	"https": {443, ""}, "microsoft-ds": {445, "tcp"}, "kpasswd": {464, ""}, "submissions": {465, "tcp"},
	"isakmp": {500, "udp"}, "login": {513, "tcp"}, "shell": {514, "tcp"}, "printer": {515, "tcp"},
	"route": {520, "udp"}, "dhcpv6-client": {546, "udp"}, "dhcpv6-server": {547, "udp"}, "rtsp": {554, ""},
	"submission": {587, "tcp"}, "ipp": {631, "tcp"}, "ldaps": {636, ""}, "ldp": {646, ""}, "domain-s": {853, ""},
	"rsync": {873, "tcp"}, "ftps-data": {989, "tcp"}, "ftps": {990, "tcp"}, "telnets": {992, "tcp"},
	"imaps": {993, "tcp"}, "pop3s": {995, "tcp"}, "socks": {1080, "tcp"}, "openvpn": {1194, ""},
	"ms-sql-s": {1433, "tcp"}, "ms-sql-m": {1434, "udp"}, "radius": {1812, ""}, "radius-acct": {1813, ""},
	"nfs": {2049, ""}, "mysql": {3306, "tcp"}, "ms-wbt-server": {3389, "tcp"}, "svn": {3690, "tcp"},
	"epmd": {4369, "tcp"}, "ipsec-nat-t": {4500, "udp"}, "sip": {5060, ""}, "sip-tls": {5061, ""},
	"xmpp-client": {5222, "tcp"}, "xmpp-server": {5269, "tcp"}, "mdns": {5353, "udp"}, "postgresql": {5432, "tcp"},
	"amqps": {5671, "tcp"}, "x11": {6000, "tcp"}, "redis": {6379, "tcp"}, "syslog-tls": {6514, "tcp"},
	"syslog": {514, ""}, "www": {80, "tcp"}, "imap": {143, "tcp"}, "snmptrap": {162, ""}, "portmapper": {111, ""},
	"ident": {113, "tcp"}, "ircd": {6667, "tcp"}, "http-alt": {8080, "tcp"}, "git": {9418, "tcp"}, "zabbix-agent": {10050, "tcp"},
}

// constants are names of numbers in arithmetic: RFC 792, RFC 4443, RFC 9293.
var constants = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1, "tcpflags": 13,

	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12,
	"icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17,
	"icmp-maskreply": 18,

	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130,
	"icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133,
	"icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
	"icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140,
	"icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144,
	"icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147,
	"icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149, "icmp6-multicastrouteradvert": 151,
	"icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,

	"tcp-fin": 0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08, "tcp-ack": 0x10, "tcp-urg": 0x20,
	"tcp-ece": 0x40, "tcp-cwr": 0x80,
}

// refusal says why a word of tcpdump's is not supported, and what to say instead; it is "" for all
// other words.
func refusal(word string) string {
	switch word {
	case "gateway":
		return "gateway needs names looked up; say: ether host MAC and not host ADDRESS"
	case "protochain":
		return "protochain needs a loop, which kernels do not take in a filter; proto looks at the first header"
	case "geneve":
		return "geneve is not supported; say: udp dst port 6081"
	case "byte":
		return "byte is not supported; say: link[N]"
	case "fddi", "tr", "slip":
		return word + " links are not supported"
	case "wlan", "radio", "type", "subtype", "dir", "direction", "ra", "ta", "addr1", "addr2", "addr3", "addr4",
		"address1", "address2", "address3", "address4":
		return "IEEE 802.11 is not supported"
	case "lane", "vpi", "vci", "metac", "bcc", "oam", "oamf4", "oamf4ec", "oamf4sc", "sc", "ilmic", "connectmsg", "metaconnect":
		return "ATM is not supported"
	case "on", "ifname", "rnr", "rulenum", "reason", "rset", "ruleset", "srnr", "subrulenum", "action":
		return "pf's log is not supported"
	case "fisu", "lssu", "lsu", "msu", "hfisu", "hlssu", "hmsu", "sio", "opc", "dpc", "sls", "hsio", "hopc", "hdpc", "hsls":
		return "SS7's MTP2 is not supported"
	}
	return ""
}
