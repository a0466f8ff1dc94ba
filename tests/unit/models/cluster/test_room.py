import pytest

from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import ClusterSettings
from models.cluster.room import Room, find_room


def test_each_worker_has_a_gpu_where_there_are_enough():
    four = ClusterSettings(workers=4)
    assert find_room(four, "auto", {"CPU": 64, "GPU": 4}) == Room(uses_gpu=True, cpus=1)


def test_workers_share_the_cores_of_machines_without_gpus():
    assert find_room(ClusterSettings(workers=2), "auto", {"CPU": 9}) == Room(uses_gpu=False, cpus=4)


def test_gpus_are_left_alone_when_the_settings_name_the_cpu():
    assert find_room(ClusterSettings(workers=2), "cpu", {"CPU": 2, "GPU": 8}) == Room(False, 1)


@pytest.mark.parametrize(
    ("device", "resources", "said"),
    [
        ("auto", {"CPU": 64, "GPU": 3}, "4 workers need 4 GPUs, and there are 3"),
        ("cuda", {"CPU": 64}, "4 workers need 4 GPUs, and there are 0"),
        ("cpu", {"CPU": 3}, "4 workers need 4 cores, and there are 3"),
    ],
)
def test_fewer_than_the_workers_are_refused_before_anything_starts(device, resources, said):
    with pytest.raises(ConfigurationError, match=said):
        find_room(ClusterSettings(workers=4), device, resources)


def test_the_least_number_of_workers_is_enough_to_begin():
    elastic = ClusterSettings(workers=4, least_workers=2)
    assert find_room(elastic, "auto", {"CPU": 8, "GPU": 2}) == Room(uses_gpu=True, cpus=1)
