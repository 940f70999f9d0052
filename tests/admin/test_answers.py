"""How the listeners answer."""

from proxy.admin.answers import as_json


def test_an_answer_is_one_line_of_json() -> None:
    answer = as_json({"a": 1}, 503)
    assert (answer.status, answer.content_type, answer.body) == (503, "application/json", b'{"a": 1}\n')
