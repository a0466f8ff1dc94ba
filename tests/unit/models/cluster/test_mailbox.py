import pytest

from maskloop.errors import StoppedError
from models.cluster.mailbox import Advanced, Began, Evaluated, Failed, Listener, Mailbox, Saved, Stepped


def listener(heard):
    return Listener(
        on_step=lambda *arguments: heard.append(("step", *arguments)),
        on_evaluation=lambda step, metrics: heard.append(("evaluation", step, dict(metrics))),
        progress=lambda done, in_all: heard.append(("progress", done, in_all)),
        on_checkpoint=lambda step: heard.append(("checkpoint", step)),
        on_begin=lambda began: heard.append(("begin", began.num_workers)),
    )


def test_messages_come_out_once_in_the_order_they_went_in():
    mailbox = Mailbox()
    mailbox.put(Saved(1))
    mailbox.put(Saved(2))
    assert mailbox.take() == [Saved(1), Saved(2)]
    assert mailbox.take() == []


def test_who_puts_a_message_hears_whether_to_stop():
    mailbox = Mailbox()
    assert mailbox.put(Saved(1)) is False
    mailbox.ask_to_stop()
    assert mailbox.put(Saved(2)) is True
    assert mailbox.is_stop_asked()


def test_each_message_does_what_a_training_in_this_process_would_do():
    heard: list[tuple[object, ...]] = []
    for message in (
        Began(2, ("one", "one")),
        Stepped((3, {"loss/total": 0.5}, 0.01, 8.0, 0.0)),
        Advanced(3, 10),
        Evaluated(3, {"mean_iou": 0.7}),
        Saved(3),
    ):
        listener(heard).hear(message)
    assert heard == [
        ("begin", 2),
        ("step", 3, {"loss/total": 0.5}, 0.01, 8.0, 0.0),
        ("progress", 3, 10),
        ("evaluation", 3, {"mean_iou": 0.7}),
        ("checkpoint", 3),
    ]


def test_what_a_rank_gave_up_with_is_raised_where_the_training_was_asked_for():
    with pytest.raises(StoppedError, match="after step 3"):
        listener([]).hear(Failed(StoppedError("the training was stopped after step 3")))
