"""Just enough of DER (the encoding of certificates) to write a revocation list."""


def element(tag, *contents):
    body = b"".join(contents)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*contents):
    return element(0x30, *contents)


def integer(value):
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def utc_time(text):
    return element(0x17, text.encode("ascii"))


SHA256_WITH_RSA = sequence(element(0x06, bytes.fromhex("2a864886f70d01010b")), element(0x05))
REASON_CODE = element(0x06, bytes.fromhex("551d15"))
COMMON_NAME = element(0x06, bytes.fromhex("550403"))


def revoked(numbers, serial):
    """One entry: serial number, date, and for two in three the reason."""
    day = f"24{numbers.randrange(1, 13):02}{numbers.randrange(1, 29):02}120000Z"
    extension = sequence(REASON_CODE, element(0x04, element(0x0A, bytes((numbers.randrange(1, 6),)))))
    return sequence(integer(serial), utc_time(day), *([sequence(extension)] if serial % 3 else []))


def revocation_list(numbers, entries):
    name = sequence(element(0x31, sequence(COMMON_NAME, element(0x0C, b"example"))))
    serials = [numbers.getrandbits(120) for _ in range(entries)]
    listed = sequence(integer(1), SHA256_WITH_RSA, name, utc_time("250101000000Z"), utc_time("260101000000Z"),
                      sequence(*(revoked(numbers, serial) for serial in serials)))
    return sequence(listed, SHA256_WITH_RSA, element(0x03, bytes(257)))
