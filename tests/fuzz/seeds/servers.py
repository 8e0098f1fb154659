"""What servers answer, and how users name them."""

from seeds.common import write


def memcached_servers() -> None:
    lines = {
        "item": b"key=ns%3Ausers%3Afunc exp=-1 la=1790000000 cas=12 fetch=no cls=5 size=190",
        "expires": b"key=a exp=1800000000 la=1790000000 cas=12 fetch=yes cls=1 size=65",
        "newer": b"key=%D0%01%7F%20%25 exp=-1 la=1 cas=1 fetch=no cls=1 size=70 flags=0 ext_page=1 ext_offset=2",
        "longest": b"key=" + b"%FF" * 250 + b" exp=-1 la=1 cas=1 fetch=no cls=5 size=400",
        "too-long": b"key=" + b"x" * 251 + b" exp=-1",
        "empty-key": b"key= exp=-1",
        "cut-escape": b"key=a%4",
        "bad-escape": b"key=a%4g exp=-1",
        "lower-escape": b"key=%d0%b0 size=1",
        "no-size": b"key=a",
        "bad-size": b"key=a size=x",
        "huge-size": b"key=a size=99999999999999999999",
        "twice": b"key=a key=b size=1 size=2",
        "end": b"END",
        "ok": b"OK",
        "busy": b"BUSY currently processing crawler request",
        "locked": b"ERROR locked try again later",
        "disabled": b"CLIENT_ERROR lru crawler disabled",
        "forbidden": b"ERROR metadump not allowed",
        "login": b"CLIENT_ERROR unauthenticated",
        "error": b"ERROR",
        "nothing": b"",
    }
    for name, line in lines.items():
        write("fuzz_memcached_dump", name, line)
    replies = {
        "value": b"VA 4096 s4096 t-1 c12 f0 O1",
        "head": b"HD s4096 t3599 c12 f0 O2",
        "old-head": b"OK s1 t-1 c1 f0",
        "miss": b"EN",
        "exists": b"EX O3",
        "not-stored": b"NS O3",
        "too-large": b"SERVER_ERROR object too large for cache",
        "bare": b"HD",
        "other-size": b"VA 5 s6",
        "no-size": b"VA",
        "huge": b"VA 9999999999999999999 s1",
        "largest-cas": b"HD c18446744073709551615 s0",
        "too-large-cas": b"HD c18446744073709551616 s0",
        "negative": b"HD s-1",
        "ttl": b"HD t-2",
        "blanks": b"HD  s1  t1",
        "key": b"HD kZm9v b s1",
        "base64": b"VA 0 s0 b",
        "server-error": b"SERVER_ERROR out of memory writing get response",
        "client-error": b"CLIENT_ERROR bad data chunk",
        "login": b"CLIENT_ERROR unauthenticated",
        "full": b"ERROR Too many open connections",
        "stat": b"STAT total_connections 17",
        "stat-text": b"STAT version 1.6.18",
        "stat-empty": b"STAT x ",
        "http": b"HTTP/1.1 400 Bad Request",
    }
    for name, line in replies.items():
        write("fuzz_memcached_reply", name, line)
    urls = {
        "host": b"localhost",
        "port": b"a:11212",
        "several": b"a,b:1,[::1]:2",
        "sockets": b"/run/a.sock,/run/b%2C.sock,c",
        "login": b"me%40x:p%40ss@a,b",
        "user": b"me@/run/a.sock",
        "password-alone": b":p@a",
        "nothing": b"",
        "commas": b"a,,b",
        "slash": b"a/",
        "path": b"a/0",
        "query": b"a?x=1",
        "twice": b"a,a:11211",
        "many": b",".join(b"h%d" % i for i in range(65)),
        "open": b"[::1",
        "port-over": b"a:65536",
        "nul": b"a%00",
    }
    for name, url in urls.items():
        write("fuzz_memcached_source", name, b"\0" + url)
    lists = {
        "one": b'["127.0.0.1:11211"]',
        "several": b'[ "a:1" , "b:2", "::1:3", "[::1]:4" ]',
        "twice": b'["h:0011211", "h: 1_1211"]',
        "escapes": b'["\\u0061\\/:1"]',
        "empty": b"[]",
        "no-list": b'"a:1"',
        "plain": b"a:1,b:2",
        "nested": b'[["a:1"]]',
        "number": b"[1]",
        "no-port": b'["a"]',
        "port-0": b'["a:0"]',
        "port-over": b'["a:65536"]',
        "port-empty": b'["a:"]',
        "port-underscore": b'["a:1_", "a:_1", "a:1__1"]',
        "cut": b'["a:1"',
        "more": b'["a:1"] x',
        "nul": b'["\\u0000:1"]',
    }
    for name, text in lists.items():
        write("fuzz_memcached_source", f"list-{name}", b"\1" + text)


def redis_servers() -> None:
    replies = {
        "status": b"+OK\r\n",
        "error": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
        "no-right": b"-NOPERM this user has no permissions\r\n",
        "integer": b":1234\r\n",
        "negative": b":-2\r\n",
        "largest": b":9223372036854775807\r\n",
        "too-large": b":9223372036854775808\r\n",
        "string": b"$5\r\nhello\r\n",
        "nothing": b"$-1\r\n",
        "no-array": b"*-1\r\n",
        "array": b"*2\r\n$1\r\n0\r\n*0\r\n",
        "huge-string": b"$99999999999999\r\n",
        "bare-lf": b"+OK\n\r\n",
        "long": b"+" + b"x" * 4096 + b"\r\n",
        "resp3-nothing": b"_\r\n",
        "resp3-something": b"_1\r\n",
        "resp3-push": b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
        "resp3-map": b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
        "resp3-largest-map": b"%2147483648\r\n",
        "resp3-too-large-map": b"%2147483649\r\n",
        "http": b"HTTP/1.1 400 Bad Request\r\n",
    }
    for name, reply in replies.items():
        write("fuzz_redis_reply", name, reply)
    urls = {
        "host": b"localhost",
        "all": b"us%3Aer:p%40ss@example.org:6380/3?db=4&socket_timeout=5#x",
        "ipv6": b"[::1]:6379/1",
        "ipv6-open": b"[::1",
        "no-port": b"h:/",
        "bad-port": b"h:70000",
        "password-only": b":secret@h",
        "many-ats": b"a@b:c@d@h/0",
        "query-login": b"h?username=u&password=a+b%20c&db=1",
        "bad-db": b"h?db=one",
        "nul": b"%00",
        "empty": b"",
    }
    for name, url in urls.items():
        write("fuzz_redis_target", name, b"\0" + url)
    for name, url in {"path": b"/run/redis.sock?db=2", "login": b"u:p@/a%20b", "none": b"?db=1"}.items():
        write("fuzz_redis_target", f"socket-{name}", b"\1" + url)
    by_tls = {
        "files": b"h:6380/1?ssl_ca_certs=%2Fetc%2Fca.pem&ssl_certfile=c+c.pem&ssl_keyfile=c.key&db=2",
        "checks": b"u:p@[::1]?ssl_cert_reqs=none&ssl_check_hostname=No&ssl_cert_reqs=required",
        "unknown": b"h?ssl_password=secret",
        "directory": b"h?ssl_ca_path=&ssl_ca_path=/a%2",
        "nul": b"h?ssl_keyfile=a%00b",
    }
    for name, url in by_tls.items():
        write("fuzz_redis_target", f"tls-{name}", b"\2" + url)
    write("fuzz_redis_target", "tls-member-without-it", b"\0" + b"h?ssl_ca_certs=a")
    several = {
        "one": b"h",
        "three": b"us%3Aer:p%40ss@a:7000,[::1]:7001,c.example.org/service-1.x/3?db=4#x",
        "no-port": b"a:,b,:/s",
        "empty-between": b"a,,b/s",
        "many": b",".join([b"h"] * 65) + b"/s",
        "no-service": b"a,b/",
        "bad-service": b"a/s%20t",
        "bad-port": b"a:1,b:70000/s",
        "db": b"a,b/1",
        "query-login": b"h,i/s?username=u&password=a+b%20c",
        "comma-in-password": b":a,b@c,d/s",
        "ipv6-open": b"[::1,h/s",
        "long-host": b"h" * 300 + b"/s",
        "nul": b"%00/s",
        "empty": b"",
    }
    for name, url in several.items():
        write("fuzz_redis_seeds", f"cluster-{name}", b"\0" + url)
        write("fuzz_redis_seeds", f"sentinel-{name}", b"\1" + url)
    several_by_tls = {
        "three": b"us%3Aer:p%40ss@a:7000,[::1]:7001,c.example.org/s?ssl_ca_certs=%2Fca.pem&ssl_cert_reqs=none",
        "certificate": b":pw@a,b/s/3?db=1&ssl_certfile=me.pem&ssl_keyfile=a+b.key&ssl_check_hostname=no",
        "no-port": b"a:,b,:/s",
        "unknown": b"a,b/s?ssl_password=secret",
        "nul": b"a,b/s?ssl_keyfile=a%00b",
        "bad-second": b"a,b:70000/s?ssl_ca_certs=a",
    }
    for name, url in several_by_tls.items():
        write("fuzz_redis_seeds", f"tls-cluster-{name}", b"\2" + url)
        write("fuzz_redis_seeds", f"tls-sentinel-{name}", b"\3" + url)
    write("fuzz_redis_seeds", "cluster-member-of-tls", b"\0" + b"a,b?ssl_ca_certs=a")
