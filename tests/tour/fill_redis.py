"""Stores three results in a Redis as an application does: with the real cachekit package. Used by the demo.

    python fill_redis.py URL
"""

import sys

import numpy
import pyarrow
from cachekit import cache
from cachekit.backends.redis import RedisBackend
from cachekit.serializers.arrow_serializer import ArrowSerializer


def main(url: str) -> None:
    backend = RedisBackend(url)

    @cache(backend=backend, ttl=3600, namespace="users", serializer="orjson")
    def user(number: int):
        return {"id": number, "name": ["Ada", "Grace"][number]}

    @cache(backend=backend, ttl=3600, namespace="sales", serializer=ArrowSerializer(return_format="arrow"))
    def sales():
        return pyarrow.table({"price": numpy.linspace(0, 1, 1000), "amount": numpy.arange(1000)})

    user(0)
    user(1)
    sales()


if __name__ == "__main__":
    main(sys.argv[1])
