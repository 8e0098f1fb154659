"""What the package itself says of stored bytes."""

from cachekit._rust_serializer import check_msgpack_structure


def is_document(document: bytes) -> bool:
    """One MessagePack document, by the package's structure walk. That does not look behind the document: so without its last byte it is none."""
    try:
        check_msgpack_structure(document, 1024)
    except ValueError:
        return False
    try:
        check_msgpack_structure(document[:-1], 1024)
    except ValueError:
        return True
    return False
