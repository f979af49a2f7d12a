"""A client library of a payment service, tested as its author would: against a mock, over real sockets."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reqscope.service.mock.server import MockServer

pytest_plugins = ["pytester"]


class Declined(Exception):
    """The service refused a payment."""


class PaymentClient:
    """What a shop would write: retries with one idempotency key, timeouts, tokens and webhooks."""

    def __init__(self, url: str, *, timeout: float = 5.0, attempts: int = 3) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False, verify=False)
        self._attempts = attempts
        self._token = ""
        self.waits: list[float] = []

    def close(self) -> None:
        self._http.close()

    def pay(self, order: str, amount: int) -> dict[str, Any]:
        key = str(uuid.uuid4())
        answer = self._send("POST", f"/orders/{order}/payments", json={"amount": amount, "currency": "EUR"}, key=key)
        if answer.status_code == 402:
            raise Declined(answer.json()["reason"])
        answer.raise_for_status()
        paid: dict[str, Any] = answer.json()
        return paid

    def status(self, payment: str) -> str:
        return str(self._send("GET", f"/payments/{payment}").json()["status"])

    def notify(self, url: str, event: dict[str, Any], secret: bytes) -> int:
        body = json.dumps(event).encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        headers = {"x-webhook-digest": signature, "content-type": "application/json"}
        return self._http.post(url, content=body, headers=headers).status_code

    def _send(self, method: str, path: str, *, key: str = "", **more: Any) -> httpx.Response:
        if not self._token:
            form = {"grant_type": "client_credentials", "client_id": "shop"}
            self._token = self._http.post("/oauth/token", data=form).json()["access_token"]
        headers = {"authorization": f"Bearer {self._token}", **({"idempotency-key": key} if key else {})}
        for attempt in range(self._attempts):
            last = attempt + 1 == self._attempts
            try:
                answer = self._http.request(method, path, headers=headers, **more)
            except httpx.TransportError:
                if last:
                    raise
                continue
            if answer.status_code == 429:
                self.waits.append(float(answer.headers["retry-after"]))
            if (answer.status_code < 500 and answer.status_code != 429) or last:
                return answer
        raise AssertionError("the loop returns or raises")


@pytest.fixture
def bank(reqscope: MockServer) -> MockServer:
    token = {"access_token": "t0ken", "expires_in": 3600}
    reqscope.stub("POST", "/oauth/token", json=token, when={"form": {"grant_type": "client_credentials"}})
    return reqscope


@pytest.fixture
def payments(bank: MockServer) -> Iterator[PaymentClient]:
    client = PaymentClient(bank.url)
    yield client
    client.close()


PAY = "/orders/{order}/payments"


def test_a_payment_is_made_with_a_token_and_a_key(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub(
        "POST",
        PAY,
        status=201,
        json={"id": "p1", "order": "{{request.path.order}}", "amount": "{{request.json.amount}}"},
    )

    assert payments.pay("o7", 100) == {"id": "p1", "order": "o7", "amount": 100}
    bank.verify(
        "POST", PAY, count=1, json={"amount": 100, "currency": "EUR"}, headers={"authorization": "Bearer t0ken"}
    )
    bank.verify_order(("POST", "/oauth/token"), ("POST", PAY))


def test_failures_are_retried_with_the_same_key(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", PAY, responses=[{"status": 503}, {"fault": "reset"}, {"status": 201, "json": {"id": "p1"}}])

    assert payments.pay("o7", 100) == {"id": "p1"}
    keys = {each["headers"]["idempotency-key"] for each in bank.requests if each["path"].startswith("/orders")}
    assert bank.verify("POST", PAY, count=3) == 3
    assert len(keys) == 1
    bank.verify("POST", PAY, headers={"idempotency-key": keys.pop()}, count=3)


def test_a_slow_service_is_given_up_on_and_asked_again(bank: MockServer) -> None:
    client = PaymentClient(bank.url, timeout=0.4)
    bank.stub("POST", PAY, responses=[{"delay": "20s"}, {"status": 201, "json": {"id": "p2"}}])

    assert client.pay("o7", 5) == {"id": "p2"}
    client.close()
    bank.verify("POST", PAY, count=2)


def test_a_limit_is_heard(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", PAY, status=201, json={"id": "p"}, limit={"requests": 1, "per": "60s"})
    payments.pay("o1", 1)

    with pytest.raises(httpx.HTTPStatusError, match="429"):
        payments.pay("o2", 1)
    assert len(payments.waits) == 3
    assert all(0 < wait <= 60 for wait in payments.waits)


def test_a_truncated_answer_is_not_taken_for_a_whole_one(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", PAY, json={"id": "p1", "note": "x" * 100}, response={"fault": "truncated"})

    with pytest.raises(httpx.RemoteProtocolError):
        payments.pay("o7", 1)
    bank.verify("POST", PAY, count=3)


def test_a_refusal_is_an_error_of_its_own_and_not_retried(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", PAY, status=201, json={"id": "p"})
    bank.stub("POST", PAY, status=402, json={"reason": "limit"}, when={"json_path": {"$.amount": {"above": 1000}}})

    with pytest.raises(Declined, match="limit"):
        payments.pay("o7", 1001)
    assert payments.pay("o7", 1000) == {"id": "p"}
    bank.verify("POST", PAY, count=2)


def test_the_same_key_gets_the_same_payment(bank: MockServer) -> None:
    first = {"of": "payment k1", "is": "started", "becomes": "made"}
    bank.stub("POST", "/pay", status=201, json={"id": "p1"}, when={"headers": {"idempotency-key": "k1"}}, state=first)
    again = {"of": "payment k1", "is": "made"}
    bank.stub("POST", "/pay", status=200, json={"id": "p1"}, when={"headers": {"idempotency-key": "k1"}}, state=again)

    statuses = [httpx.post(f"{bank.url}/pay", headers={"idempotency-key": "k1"}).status_code for _ in range(3)]

    assert statuses == [201, 200, 200]


def test_a_payment_changes_its_state(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("GET", "/payments/{id}", json={"status": "pending"}, state={"of": "p1", "is": "started"})
    bank.stub("GET", "/payments/{id}", json={"status": "paid"}, state={"of": "p1", "is": "paid"})
    bank.stub("POST", "/payments/p1/capture", status=204, state={"of": "p1", "becomes": "paid"})

    before = payments.status("p1")
    httpx.post(f"{bank.url}/payments/p1/capture")

    assert (before, payments.status("p1")) == ("pending", "paid")


def test_webhooks_arrive_signed(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", "/hooks/paid", status=204, when={"headers": {"x-webhook-digest": {"regex": "[0-9a-f]{64}"}}})

    assert payments.notify(f"{bank.url}/hooks/paid", {"type": "payment.paid", "data": {"id": "p1"}}, b"key") == 204
    bank.verify("POST", "/hooks/paid", count=1, json_path={"$.data.id": "p1"})
    assert bank.verify("POST", "/hooks/paid", count=1, json={"type": "payment.paid"}) == 1


def test_a_client_outlives_chaos(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("GET", "/payments/{id}", json={"status": "paid"})
    payments.status("p1")
    bank.chaos(share=1, status=503)
    assert payments.status("p1") == "503"
    bank.chaos(share=0)

    assert payments.status("p1") == "paid"


def test_a_verification_that_fails_says_what_came_instead(bank: MockServer, payments: PaymentClient) -> None:
    bank.stub("POST", PAY, status=201, json={"id": "p"})
    payments.pay("o7", 5)

    with pytest.raises(AssertionError) as caught:
        bank.verify("POST", PAY, count=1, json={"amount": 6})

    assert str(caught.value) == (
        f"POST {PAY} with json.amount 6 was asked never, and should have been once\n"
        "  POST /orders/o7/payments: json.amount is 5, not 6"
    )


def test_the_fixture_is_there_for_every_project_and_each_test_has_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import httpx

        def test_one(reqscope):
            reqscope.stub("GET", "/a", json={"a": 1})
            assert httpx.get(reqscope.url + "/a").json() == {"a": 1}
            reqscope.verify("GET", "/a", count=1)

        def test_two(reqscope):
            assert httpx.get(reqscope.url + "/a").status_code == 404
            reqscope.verify("GET", "/a", count=2)
        """
    )

    others = [f"-pno:{name}" for name in ("cacheprovider", "locust", "schemathesis", "hypothesispytest")]
    result = pytester.runpytest_subprocess(*others)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*GET /a was asked once, and should have been twice*"])


def test_files_of_stubs_can_be_used_in_tests(reqscope: MockServer, tmp_path: Any) -> None:
    (tmp_path / "api.yaml").write_text("openapi: 3.1.0\npaths: {/a: {get: {responses: {200: {description: x}}}}}")
    reqscope.load(tmp_path / "api.yaml")

    assert httpx.get(f"{reqscope.url}/a").status_code == 200
    reqscope.reset()
    assert reqscope.verify("GET", "/a", count=0) == 0
