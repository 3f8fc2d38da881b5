"""Sign-in by the header of a reverse proxy: believed from there alone."""

import http.client
import ipaddress
from urllib.parse import urlsplit

import pytest
from django.test import Client

from distfile_mirror.admin.models import User
from distfile_mirror.admin.people import set_active, set_role
from distfile_mirror.admin.sign_in import TrustedHeader, is_loopback, is_within
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.errors import ConflictError
from distfile_mirror.model.roles import Role
from tests.unit.admin.people import bearer, browser, person, secret_of, with_sign_in
from tests.unit.admin.running_admin import running_admin

pytestmark = pytest.mark.django_db

NETWORK = ipaddress.ip_network("10.0.0.0/8")
HEADER = TrustedHeader("X-Forwarded-User", "X-Forwarded-Groups", (NETWORK,))
PROXY = "10.1.2.3"
GROUPS = {Role.DECLARER: ("developers",), Role.ADMINISTRATOR: ("operators", "on call")}


def come(name="Ann@Corp.test", groups="", peer=PROXY, path="/files", **headers):
    sent = {"x-forwarded-user": name, "x-forwarded-groups": groups, **headers}
    return Client(REMOTE_ADDR=peer).get(path, headers={key: value for key, value in sent.items() if value})


@pytest.fixture(autouse=True)
def _header(settings):
    with_sign_in(settings, "header", header=HEADER, role_groups=GROUPS)


def test_who_comes_through_the_proxy_has_the_role_of_their_groups():
    assert come(groups="staff, developers").status_code == 200
    user = User.objects.get()
    assert (user.name, user.role, user.source) == ("ann@corp.test", "declarer", "header")
    assert not user.check_password("!")
    assert come(groups="on call,developers", path="/users").status_code == 200
    assert come(groups="developers", path="/users").status_code == 403
    assert User.objects.get().role == "declarer"
    events = AuditEvent.objects.filter(subject_kind="user").order_by("pk")
    assert list(events.values_list("action", flat=True)) == ["added", "role given", "role given"]


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", "", "unix:"])
def test_nobody_else_is_believed(peer):
    response = come(groups="operators", peer=peer)
    assert response.status_code == 401
    assert not User.objects.exists()
    assert come(groups="operators", peer=peer, path="/api/v1/files").status_code == 401
    assert come(peer=peer, path="/sign-in").status_code == 403


def test_what_a_proxy_forwards_does_not_make_a_peer(settings):
    with_sign_in(settings, "header", header=HEADER, trusted_proxies=(ipaddress.ip_network("192.0.2.0/24"),))
    assert come(peer="192.0.2.1", **{"x-forwarded-for": PROXY}).status_code == 401


def test_who_has_no_group_is_refused_with_a_word_why():
    response = come(groups="visitors")
    assert response.status_code == 403
    assert b"role_groups" in response.content
    assert not User.objects.exists()
    assert come(name="").status_code == 401


def test_the_default_role_and_what_administrators_give_afterwards(settings):
    with_sign_in(settings, "header", header=HEADER, default_role=Role.VIEWER)
    assert come().status_code == 200
    user = User.objects.get()
    set_role(user.pk, "approver", actor="root")
    assert come().status_code == 200
    user.refresh_from_db()
    assert user.role == "approver"


def test_roles_that_follow_groups_are_not_given():
    come(groups="developers")
    with pytest.raises(ConflictError, match="follows their groups"):
        set_role(User.objects.get().pk, "approver", actor="root")


@pytest.mark.parametrize("name", ["a b", "a,b", "<script>", "a(b", "x" * 151])
def test_odd_names_are_refused(name):
    assert come(name=name, groups="operators").status_code == 403
    assert not User.objects.exists()


def test_the_name_of_an_account_is_not_taken_over(settings):
    person("ann@corp.test", "administrator")
    response = come(groups="operators")
    assert response.status_code == 403
    assert b"belongs to somebody who signs in by accounts" in response.content


def test_who_is_disabled_stays_out():
    come(groups="developers")
    set_active(User.objects.get().pk, is_active=False, actor="root")
    assert come(groups="developers").status_code == 403


def test_both_sign_ins_side_by_side(settings):
    with_sign_in(settings, "accounts", "header", header=HEADER, role_groups=GROUPS)
    person("bob")
    assert browser("bob").get("/files").status_code == 200
    assert come(groups="developers").status_code == 200
    assert come(peer="192.0.2.1").headers["Location"] == "/sign-in?next=%2Ffiles"


def test_tokens_work_without_the_proxy_and_foreign_ones_do_not_disturb():
    come(groups="developers")
    secret = secret_of(User.objects.get())
    assert Client(REMOTE_ADDR="192.0.2.1").get("/api/v1/files", headers=bearer(secret)).status_code == 200
    assert come(groups="developers", path="/api/v1/files", authorization="Bearer eyJ.of.theproxy").status_code == 200
    assert come(name="", path="/api/v1/files", authorization="Bearer eyJ.of.theproxy").status_code == 401


def test_addresses_within_networks():
    assert is_within("::ffff:10.0.0.1", (NETWORK,))
    assert not is_within("11.0.0.1", (NETWORK,))
    assert not is_within("", (NETWORK,))
    assert is_loopback("127.1.2.3")


def test_the_client_behind_trusted_proxies_is_the_last_they_did_not_add(settings):
    from distfile_mirror.admin.models import PasswordAttempt

    with_sign_in(settings, "accounts", trusted_proxies=(NETWORK,))
    client = Client(REMOTE_ADDR=PROXY)
    for forwarded in ("6.6.6.6, 192.0.2.9", "192.0.2.9, 10.5.5.5", "192.0.2.9"):
        client.post("/sign-in", {"name": "x", "password": "y"}, headers={"x-forwarded-for": forwarded})
    client.post("/sign-in", {"name": "x", "password": "y"})
    Client(REMOTE_ADDR="192.0.2.8").post(
        "/sign-in", {"name": "x", "password": "y"}, headers={"x-forwarded-for": "6.6.6.6"}
    )
    found = PasswordAttempt.objects.order_by("pk").values_list("address", flat=True)
    assert list(found) == ["192.0.2.9"] * 3 + [PROXY, "192.0.2.8"]


@pytest.mark.django_db(transaction=True)
def test_a_header_with_an_underscore_is_not_that_of_the_proxy(settings):
    header = TrustedHeader("X-Forwarded-User", "X-Forwarded-Groups", (ipaddress.ip_network("127.0.0.0/8"),))
    with_sign_in(settings, "header", header=header, role_groups=GROUPS)
    with running_admin() as address:
        statuses = []
        for name, groups in (("X_Forwarded_User", "X_Forwarded_Groups"), ("X-Forwarded-User", "X-Forwarded-Groups")):
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
            connection.request("GET", "/files", headers={name: "mallory", groups: "operators"})
            statuses.append(connection.getresponse().status)
            connection.close()
    assert statuses == [401, 200]
