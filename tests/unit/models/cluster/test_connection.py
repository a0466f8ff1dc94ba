import signal

import pytest

from maskloop.errors import UnavailableError
from maskloop.settings.model_settings import ClusterSettings
from models.cluster.connection import _signals_kept, connected

pytestmark = pytest.mark.filterwarnings("ignore:::ray")


def test_a_request_to_stop_is_still_heard_after_ray_has_taken_the_signal():
    """`ray.init` puts a handler of its own in the place of the program's."""
    before = signal.getsignal(signal.SIGTERM)
    with _signals_kept():
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_is_not_there_is_named_at_once():
    with (
        pytest.raises(UnavailableError, match="does not answer"),
        connected(ClusterSettings(address="127.0.0.1:1")),
    ):
        pass
