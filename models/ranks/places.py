"""Which pictures of a batch each rank learns from. Pure."""

from __future__ import annotations

from itertools import accumulate, pairwise


def share_places(batch_size: int, *, parts: int, count: int, rank: int) -> list[range]:
    """Return a rank's places in a batch, from 0, for each part that goes through the network by itself.

    A batch is cut into parts of neighbours, a part into shares of neighbours, as even as can be. Together
    the ranks have every place once, in whatever number they are, and a part holds the same places.

    >>> share_places(6, parts=1, count=2, rank=1)
    [range(3, 6)]
    >>> share_places(7, parts=2, count=2, rank=0)
    [range(0, 2), range(4, 6)]

    Args:
        batch_size: Pictures in a batch.
        parts: Of the batch.
        count: Of the ranks.
        rank: Whose places, from 0.

    Raises:
        ValueError: if a rank would have no picture in some part.
    """
    if parts * count > batch_size:
        raise ValueError(f"a batch of {batch_size} has no picture for each of {count} ranks in {parts} parts")
    return [_cut(part, count)[rank] for part in _cut(range(batch_size), parts)]


def share_items(count_of_items: int, *, count: int, rank: int) -> range:
    """Return which items a rank works on, every item on exactly one rank; there may be none.

    torch's ``DistributedSampler`` repeats items until all ranks have as many, which counts some twice.

    >>> [list(share_items(5, count=2, rank=rank)) for rank in range(2)]
    [[0, 2, 4], [1, 3]]
    """
    return range(rank, count_of_items, count)


def _cut(places: range, pieces: int) -> list[range]:
    """Cut into neighbours; the first pieces are one longer where it does not come out even."""
    short, longer = divmod(len(places), pieces)
    ends = accumulate(short + (piece < longer) for piece in range(pieces))
    return [places[start:end] for start, end in pairwise([0, *ends])]
