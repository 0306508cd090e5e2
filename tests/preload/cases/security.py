"""Keys, signatures and ciphers. Fresh keys differ, so what is kept there is that they fit together."""

import generate
from harness import Run


def ssh_keygen(run: Run):
    text = run.write("text", " ".join(generate.words(20000)))
    for kind, bits in (("ed25519", "256"), ("ecdsa", "384"), ("rsa", "3072")):
        key = run.directory / f"key-{kind}"
        run.out("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "pass phrase", "-C", "comment", "-f", key)
        public = " ".join((run.directory / f"key-{kind}.pub").read_text().split()[:2])
        derived = " ".join(run.out("ssh-keygen", "-y", "-P", "pass phrase", "-f", key).split()[:2])
        run.keep(f"{kind} fits", public == derived)
        run.keep(f"{kind} kind", run.out("ssh-keygen", "-l", "-f", f"{key}.pub").split()[0::3])
        run.out("ssh-keygen", "-q", "-p", "-P", "pass phrase", "-N", "", "-m", "PEM", "-f", key)
        run.out("ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "file", text)
        run.write("signers", f"who {public}\n")
        with open(text, encoding="ascii") as file:
            run.keep(f"{kind} signed", "Good" in run.out("ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "who",
                                                         "-n", "file", "-s", f"{text}.sig", stdin=file.read()))
        (run.directory / "text.sig").unlink()
    hosts = "".join(f"host{n} {public}\n" for n in range(3000))
    run.write("known_hosts", hosts)
    run.out("ssh-keygen", "-H", "-f", "known_hosts")
    run.keep("hashed", run.out("ssh-keygen", "-F", "host2999", "-f", "known_hosts").count(public))
    bad = run.call("ssh-keygen", "-l", "-f", text)
    run.keep("not a key", f"{bad.returncode} {bad.stderr.decode()}")


def openssl(run: Run):
    data = run.write("data", " ".join(generate.words(300000)))
    for algorithm in ("sha256", "sha3-512", "blake2b512", "sm3"):
        run.same(algorithm, "openssl", "dgst", f"-{algorithm}", data)
    secret = ["-pbkdf2", "-iter", "20000", "-S", "0011223344556677", "-pass", "pass:lane"]
    for cipher in ("aes-256-cbc", "chacha20", "camellia-128-ctr"):
        run.out("openssl", "enc", f"-{cipher}", *secret, "-in", data, "-out", "sealed")
        run.keep(cipher, run.directory / "sealed")
        run.out("openssl", "enc", "-d", f"-{cipher}", *secret, "-in", "sealed", "-out", "opened")
        run.keep(f"{cipher} opened", (run.directory / "opened").read_bytes() == data.read_bytes())
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key"]
    run.out("openssl", "req", "-x509", *key, "-out", "ca.pem", "-days", "5", "-subj", "/CN=authority")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "leaf.key"]
    run.out("openssl", "req", "-new", *key, "-out", "leaf.csr", "-subj", "/CN=localhost")
    run.out("openssl", "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7",
            "-days", "2", "-out", "leaf.pem")
    run.same("chain", "openssl", "verify", "-CAfile", "ca.pem", "leaf.pem")
    run.same("certificate", "openssl", "x509", "-in", "leaf.pem", "-noout", "-subject", "-issuer", "-serial")
    message = ["-binary", "-outform", "DER", "-nodetach", "-out", "signed"]
    run.out("openssl", "cms", "-sign", *message, "-in", data, "-signer", "leaf.pem", "-inkey", "leaf.key")
    run.out("openssl", "cms", "-verify", "-binary", "-in", "signed", "-inform", "DER", "-CAfile", "ca.pem",
            "-purpose", "any", "-out", "verified")
    run.keep("signed", (run.directory / "verified").read_bytes() == data.read_bytes())
    password = "pass:lane"
    run.out("openssl", "pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key", "-out", "leaf.p12",
            "-passout", password)
    opened = run.out("openssl", "pkcs12", "-in", "leaf.p12", "-nokeys", "-passin", password)
    run.keep("bundle", "BEGIN CERTIFICATE" in opened)
    run.keep("structure", run.out("openssl", "asn1parse", "-in", "leaf.csr").count("\n") > 10)
    bad = run.call("openssl", "x509", "-in", "leaf.key", "-noout")
    run.keep("not a certificate", bad.returncode)
