"""The sums that a chunked dot product consists of: how long they are."""


def levels(n: int, chunk: int | None) -> tuple[int, ...]:
    """Return the lengths of the sums of n addends: the chunk's and that of the chunk sums, or n where one chunk does.

    A last, shorter chunk counts as a whole one.
    """
    return (n,) if chunk is None or chunk >= n else (chunk, -(-n // chunk))


def nonzero(n: int, chunk: int | None, nzr: float) -> tuple[int, int | None]:
    """Return length and chunk length of an equally noisy sum without zeros: of as many, shorter chunks.

    Parameters:
        n, chunk: products of the sum, and of a chunk (None: no chunks).
        nzr: share of products that are not zero.
    """
    if chunk is None or chunk >= n:
        return max(1, round(nzr * n)), None
    inner = max(1, round(nzr * chunk))
    return min(inner * -(-n // chunk), n), inner
