//go:build ignore

/*
 * openssl_membio measures what OpenSSL's memory BIOs cost for the work that package bio does: TLS or DTLS without sockets,
 * client and server in one process and one thread, records moved by the application. Results are lines of the Go
 * benchmark format. README.md tells how to build it and what the columns mean; the build constraint above keeps the
 * go command, which would want cgo for a C file, away from this one.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum {
	HEADROOM = 64,        /* bytes an application keeps free in front of a record for its own header */
	MAX_PLAIN = 16384,    /* https://www.rfc-editor.org/rfc/rfc8446#section-5.1 */
	MAX_MOVE = 18432,     /* holds the longest record, and any flight of these handshakes */
	MAX_STEPS = 16,       /* a full handshake takes three; more means that it is stuck */
	MAX_CONNS = 1000000,
	MAX_RUNS = 1000,
	DTLS_MTU = 1200,      /* of the handshake's datagrams; messages are one record, whatever it says */
	COOKIE_LEN = 20,
};

static struct {
	double seconds;     /* about how long one run takes */
	long runs;          /* result lines per benchmark */
	const char *suite;  /* NULL: AES-128-GCM of the version */
	int version;
	int bio_pair;       /* BIO pairs instead of two memory BIOs at each end */
	int release;        /* SSL_MODE_RELEASE_BUFFERS */
	char label[128];    /* the middle part of benchmark names: "openssl" and what differs from the defaults */
} opt = {.seconds = 1, .runs = 1, .version = TLS1_3_VERSION};

static SSL_CTX *client_ctx, *server_ctx;

/* An end is one end of a connection: records it has sealed are read from out, records for it are written to in. */
struct end {
	SSL *ssl;
	BIO *out, *in;
};

struct conn {
	struct end client, server;
};

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("openssl_membio: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void require(int ok, const char *what)
{
	if (!ok)
		die("%s failed", what);
}

/* Certificates and contexts */

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	require(extension && X509_add_ext(cert, extension, -1), "X509_add_ext");
	X509_EXTENSION_free(extension);
}

/* new_cert returns an unsigned certificate for key that is valid from an hour ago until an hour from now. */
static X509 *new_cert(const char *name, EVP_PKEY *key, const X509_NAME *issuer)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_NAME_new();

	require(cert && subject, "X509_new");
	require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) &&
	        X509_set_subject_name(cert, subject) && X509_set_issuer_name(cert, issuer ? issuer : subject) &&
	        X509_set_version(cert, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
	        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
	        X509_gmtime_adj(X509_getm_notAfter(cert), 3600) && X509_set_pubkey(cert, key), "new certificate");
	X509_NAME_free(subject);
	return cert;
}

/* use_certificates makes a CA that client_ctx trusts and a certificate of it for "localhost" that server_ctx shows. */
static void use_certificates(void)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca, *cert;

	require(ca_key && key, "EVP_EC_gen");
	ca = new_cert("encase benchmark CA", ca_key, NULL);
	add_extension(ca, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(ca, NID_key_usage, "critical,keyCertSign");
	require(X509_sign(ca, ca_key, EVP_sha256()), "X509_sign");

	cert = new_cert("localhost", key, X509_get_subject_name(ca));
	add_extension(cert, NID_subject_alt_name, "DNS:localhost");
	add_extension(cert, NID_key_usage, "critical,digitalSignature");
	require(X509_sign(cert, ca_key, EVP_sha256()), "X509_sign");

	require(X509_STORE_add_cert(SSL_CTX_get_cert_store(client_ctx), ca), "X509_STORE_add_cert");
	SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
	require(SSL_CTX_use_certificate(server_ctx, cert) && SSL_CTX_use_PrivateKey(server_ctx, key), "use certificate");
	X509_free(ca);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

static void set_suite(SSL_CTX *ctx)
{
	int ok;

	if (opt.version == TLS1_3_VERSION)
		ok = SSL_CTX_set_ciphersuites(ctx, opt.suite ? opt.suite : "TLS_AES_128_GCM_SHA256");
	else
		ok = SSL_CTX_set_cipher_list(ctx, opt.suite ? opt.suite : "ECDHE-ECDSA-AES128-GCM-SHA256");
	require(ok, "setting the cipher suite");
}

/* Cookies, as a DTLS server wants them. They prove nothing here: client and server are one process. */

static const unsigned char the_cookie[COOKIE_LEN] = "the benchmark's one";

static int generate_cookie(SSL *ssl, unsigned char *cookie, unsigned int *len)
{
	(void)ssl;
	memcpy(cookie, the_cookie, COOKIE_LEN);
	*len = COOKIE_LEN;
	return 1;
}

static int verify_cookie(SSL *ssl, const unsigned char *cookie, unsigned int len)
{
	(void)ssl;
	return len == COOKIE_LEN && memcmp(cookie, the_cookie, COOKIE_LEN) == 0;
}

static void use_cookies(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_COOKIE_EXCHANGE);
	SSL_CTX_set_cookie_generate_cb(ctx, generate_cookie);
	SSL_CTX_set_cookie_verify_cb(ctx, verify_cookie);
}

static int is_dtls(void) { return opt.version == DTLS1_2_VERSION; }

static SSL_CTX *new_ctx(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	require(ctx != NULL, "SSL_CTX_new");
	/* The key share is X25519; TLS 1.2 wants the curve of an ECDSA certificate in the list as well. */
	require(SSL_CTX_set_min_proto_version(ctx, opt.version) && SSL_CTX_set_max_proto_version(ctx, opt.version) &&
	        SSL_CTX_set1_groups_list(ctx, "X25519:P-256"), "setting version and groups");
	set_suite(ctx);
	/* No session is ever resumed, and no ticket follows a handshake. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	require(SSL_CTX_set_num_tickets(ctx, 0), "SSL_CTX_set_num_tickets");
	if (opt.release)
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (is_dtls()) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU); /* a memory BIO has none */
		use_cookies(ctx);
	}
	return ctx;
}

/* Connections */

static struct end new_end(SSL_CTX *ctx)
{
	struct end e = {.ssl = SSL_new(ctx)};
	BIO *inner;

	require(e.ssl != NULL, "SSL_new");
	require(!is_dtls() || SSL_set_mtu(e.ssl, DTLS_MTU), "SSL_set_mtu");
	if (opt.bio_pair) {
		require(BIO_new_bio_pair(&inner, MAX_MOVE, &e.out, MAX_MOVE), "BIO_new_bio_pair");
		e.in = e.out;
		SSL_set_bio(e.ssl, inner, inner);
	} else {
		e.in = BIO_new(BIO_s_mem());
		e.out = BIO_new(BIO_s_mem());
		require(e.in && e.out, "BIO_new");
		SSL_set_bio(e.ssl, e.in, e.out);
	}
	return e;
}

/* free_end frees the half of a BIO pair that is ours; memory BIOs belong to the SSL. */
static void free_end(struct end *e)
{
	SSL_free(e->ssl);
	if (opt.bio_pair)
		BIO_free(e->out);
}

/*
 * move takes what one end has sealed into a flat buffer, behind the room that a header would fill, and gives it to the
 * other end: the two copies that an application with frames of its own makes.
 */
static void move(const struct end *from, const struct end *to)
{
	static unsigned char frame[HEADROOM + MAX_MOVE];
	int n = BIO_read(from->out, frame + HEADROOM, MAX_MOVE);

	if (n > 0 && BIO_write(to->in, frame + HEADROOM, n) != n)
		die("BIO_write took less than %d bytes", n);
}

static int handshake_step(SSL *ssl)
{
	int r = SSL_do_handshake(ssl);

	if (r != 1 && SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ)
		die("handshake failed");
	return r == 1;
}

static struct conn connect_ends(void)
{
	struct conn c = {.client = new_end(client_ctx), .server = new_end(server_ctx)};

	SSL_set_connect_state(c.client.ssl);
	SSL_set_accept_state(c.server.ssl);
	require(SSL_set1_host(c.client.ssl, "localhost") && SSL_set_tlsext_host_name(c.client.ssl, "localhost"),
	        "setting the server name");
	for (int i = 0; i < MAX_STEPS; i++) {
		int client_done = handshake_step(c.client.ssl);
		move(&c.client, &c.server);
		int server_done = handshake_step(c.server.ssl);
		move(&c.server, &c.client);
		if (client_done && server_done)
			return c;
	}
	die("handshake does not end");
	return c;
}

static void free_conn(struct conn *c)
{
	free_end(&c->client);
	free_end(&c->server);
}

/* transfer sends one record of size bytes. */
static void transfer(const struct end *from, const struct end *to, const void *src, void *dst, int size)
{
	if (SSL_write(from->ssl, src, size) != size)
		die("SSL_write failed");
	move(from, to);
	if (SSL_read(to->ssl, dst, size) != size)
		die("SSL_read failed");
}

/* Measurement */

/* A job is what one operation needs; handshakes use none of it. */
struct job {
	struct conn conn;
	int size;
	unsigned char src[MAX_PLAIN], dst[MAX_PLAIN];
};

static void record_op(struct job *j)
{
	transfer(&j->conn.client, &j->conn.server, j->src, j->dst, j->size);
}

static void handshake_op(struct job *j)
{
	struct conn c = connect_ends();

	(void)j;
	free_conn(&c);
}

static double run(void (*op)(struct job *), struct job *j, long n)
{
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < n; i++)
		op(j);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

/* warm_up doubles the count until it takes a quarter of a run, and returns the count that should take a whole one. */
static long warm_up(void (*op)(struct job *), struct job *j)
{
	long n = 1;
	double t;

	while ((t = run(op, j, n)) < opt.seconds / 4)
		n *= 2;
	t = (double)n * opt.seconds / t;
	return t < 1 ? 1 : (long)t;
}

static void benchmark(const char *name, void (*op)(struct job *), struct job *j)
{
	long n = warm_up(op, j);

	for (long i = 0; i < opt.runs; i++) {
		double t = run(op, j, n);

		printf("%s\t%8ld\t%10.1f ns/op", name, n, t / (double)n * 1e9);
		if (j->size > 0)
			printf("\t%7.2f MB/s", (double)n * j->size / t / 1e6);
		putchar('\n');
		fflush(stdout);
	}
}

/* prefix keeps benchmarks of DTLS apart from those of TLS: they are compared with others. */
static const char *prefix(void) { return is_dtls() ? "DTLS" : ""; }

static void benchmark_record(int size)
{
	static struct job j;
	char name[256];

	j.conn = connect_ends();
	j.size = size;
	for (int i = 0; i < size; i++)
		j.src[i] = (unsigned char)(i * 31 + size);
	memset(j.dst, 0, sizeof j.dst);
	snprintf(name, sizeof name, "Benchmark%sRecord/%s/%d", prefix(), opt.label, size);
	benchmark(name, record_op, &j);
	if (memcmp(j.src, j.dst, (size_t)size) != 0)
		die("what was read is not what was written");
	free_conn(&j.conn);
}

static void benchmark_handshake(void)
{
	static struct job j;
	char name[256];

	snprintf(name, sizeof name, "Benchmark%sHandshake/%s", prefix(), opt.label);
	benchmark(name, handshake_op, &j);
}

static size_t heap_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* new_used_server returns the server end of a connection that has carried one record each way, and frees the client. */
static struct end new_used_server(int size)
{
	static unsigned char src[MAX_PLAIN], dst[MAX_PLAIN];
	struct conn c = connect_ends();

	transfer(&c.client, &c.server, src, dst, size);
	transfer(&c.server, &c.client, src, dst, size);
	free_end(&c.client);
	return c.server;
}

/*
 * measure_memory reports what n idle server ends keep. The array and one connection, which fills the caches of the
 * library and of malloc, exist before the first look at the heap, and no client does at the second.
 */
static void measure_memory(long n, int size)
{
	struct end *servers = calloc((size_t)n, sizeof *servers);
	struct end first;
	size_t before, after;

	require(servers != NULL, "calloc");
	first = new_used_server(size);
	before = heap_in_use();
	for (long i = 0; i < n; i++)
		servers[i] = new_used_server(size);
	after = heap_in_use();
	printf("Benchmark%sMemory/%s/%d\t%8ld\t%10.0f B/conn\n", prefix(), opt.label, size, n,
	       ((double)after - (double)before) / (double)n);
	for (long i = 0; i < n; i++)
		free_end(&servers[i]);
	free_end(&first);
	free(servers);
}

/* Command line */

static void usage(void)
{
	fputs("usage: openssl_membio [-s seconds] [-n runs] [-c suite] [-v 1.2|1.3|dtls1.2] [-p] [-r] MODE\n"
	      "  record SIZE...   time to seal, move and open one record of SIZE bytes\n"
	      "  handshake        time of a full handshake, both ends together\n"
	      "  memory N SIZE    heap bytes of each of N idle server ends after a record of SIZE bytes each way\n"
	      "  -p  BIO pairs instead of memory BIOs      -r  SSL_MODE_RELEASE_BUFFERS\n"
	      "SIZE is 1 to 16384: one record.\n", stderr);
	exit(2);
}

static long parse_count(const char *text, long max)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 1 || n > max)
		usage();
	return n;
}

static double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.001 && seconds <= 3600))
		usage();
	return seconds;
}

static int parse_version(const char *text)
{
	if (strcmp(text, "1.2") == 0)
		return TLS1_2_VERSION;
	if (strcmp(text, "dtls1.2") == 0)
		return DTLS1_2_VERSION;
	if (strcmp(text, "1.3") != 0)
		usage();
	return TLS1_3_VERSION;
}

static void set_label(void)
{
	const char *version = opt.version == TLS1_2_VERSION ? "-tls1.2" : "";
	const char *dash = opt.suite ? "-" : "", *suite = opt.suite ? opt.suite : "";
	int n = snprintf(opt.label, sizeof opt.label, "openssl%s%s%s%s%s", version, dash, suite,
	                 opt.bio_pair ? "-pair" : "", opt.release ? "-release" : "");

	/* A name that is cut short or has blanks in it would not be one benchmark's. */
	if (n < 0 || (size_t)n >= sizeof opt.label || strpbrk(opt.label, " \t\n"))
		usage();
}

static void parse_options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:n:c:v:pr")) != -1) {
		switch (c) {
		case 's': opt.seconds = parse_seconds(optarg); break;
		case 'n': opt.runs = parse_count(optarg, MAX_RUNS); break;
		case 'c': opt.suite = optarg; break;
		case 'v': opt.version = parse_version(optarg); break;
		case 'p': opt.bio_pair = 1; break;
		case 'r': opt.release = 1; break;
		default: usage();
		}
	}
	set_label();
}

/* describe prints what is measured; benchstat skips the line. */
static void describe(void)
{
	struct conn c = connect_ends();

	printf("# %s: %s, %s\n", OpenSSL_version(OPENSSL_VERSION), SSL_get_version(c.client.ssl),
	       SSL_get_cipher_name(c.client.ssl));
	fflush(stdout);
	free_conn(&c);
}

static void run_mode(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[0], "record") == 0) {
		for (int i = 1; i < argc; i++)
			parse_count(argv[i], MAX_PLAIN); /* complain about the last size before the first run */
		for (int i = 1; i < argc; i++)
			benchmark_record((int)parse_count(argv[i], MAX_PLAIN));
	} else if (argc == 1 && strcmp(argv[0], "handshake") == 0) {
		benchmark_handshake();
	} else if (argc == 3 && strcmp(argv[0], "memory") == 0) {
		measure_memory(parse_count(argv[1], MAX_CONNS), (int)parse_count(argv[2], MAX_PLAIN));
	} else {
		usage();
	}
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	client_ctx = new_ctx(is_dtls() ? DTLS_client_method() : TLS_client_method());
	server_ctx = new_ctx(is_dtls() ? DTLS_server_method() : TLS_server_method());
	use_certificates();
	describe();
	run_mode(argc - optind, argv + optind);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	return 0;
}
