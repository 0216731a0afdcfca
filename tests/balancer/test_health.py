"""Whether a backend serves, from the words of watches and checks."""

from balancer.health import Answer, Health


def test_nothing_is_believed_of_a_backend_that_has_not_spoken() -> None:
    assert Health().answer is Answer.NONE


def test_the_latest_word_counts_whoever_heard_it() -> None:
    health = Health().told(serving=True)
    assert health.answer is Answer.SERVING
    assert health.told(serving=False).answer is Answer.NOT_SERVING
    assert health.told(serving=False).told(serving=True).answer is Answer.SERVING


def test_a_watch_that_breaks_is_believed_at_once() -> None:
    assert Health().told(serving=True).watch_broke().answer is Answer.NONE


def test_one_failed_check_is_a_hiccup_and_two_are_not() -> None:
    health = Health().told(serving=True).check_failed()
    assert health.answer is Answer.SERVING
    assert health.check_failed().answer is Answer.NONE
    assert health.check_failed().check_failed().answer is Answer.NONE


def test_one_good_check_is_enough() -> None:
    health = Health().check_failed().check_failed().told(serving=True)
    assert health.answer is Answer.SERVING
    assert health.check_failed().answer is Answer.SERVING
