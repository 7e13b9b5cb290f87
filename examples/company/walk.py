"""What people of two companies do to each other's records, and what becomes of it when nobody can tell who somebody is."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

from checks import Check, both, challenges_with, saw_identity, saw_none_of, show_identity, tells_nothing
from client import Response
from hints import Hint
from processes import wait_until
from walk import NOTICED_WITHIN, Walk

ACME, GLOBEX = "/companies/acme", "/companies/globex"
STAFF = f"{ACME}/employees"
PHONE = "--json '{\"phone\": \"123\"}'"

HINTS = (
    Hint("eve", "PUT", f"{STAFF}/eve/profile", "200: eve's own telephone number", PHONE),
    Hint("eve", "PUT", f"{STAFF}/eve/profile", "403: that is not hers to change", "--json '{\"role\": \"ADMIN\"}'"),
    Hint("eve", "PUT", f"{STAFF}/ed/profile", "403: that is not hers at all", PHONE),
    Hint("mary", "PUT", f"{STAFF}/eve/profile", "200: mary manages eve", PHONE),
    Hint("mary", "GET", f"{STAFF}/erin", "403: and nobody in sales"),
    Hint("hanna", "GET", f"{STAFF}/erin", "200: hanna is HR, of all departments"),
    Hint("hanna", "GET", f"{STAFF}/hugo", "403: but so is hugo"),
    Hint("erin-globex", "GET", f"{GLOBEX}/employees/gus", "200: there, erin is HR"),
    Hint("root", "GET", f"{GLOBEX}/employees/gina", "200: root reaches everybody"),
)


def run(walk: Walk) -> None:
    super_admin(walk)
    admin(walk)
    human_resources(walk)
    manager(walk)
    employee(walk)
    bodies(walk)
    who_nobody_can_tell(walk)


def token_of(walk: Walk, user: str, company: Optional[str] = "acme", *, otp: bool = False) -> str:
    return str(walk.log_in(user, company, otp=otp)["access_token"])


def introduce(walk: Walk, token: str, *people: str) -> None:
    """Asks about people until the directory has answered. The first question about somebody may take longer than a request
    waits for it, which is not what the rows after this are about."""
    for path in people:
        wait_until(lambda: walk.envoy.request("GET", path, token=token).status != 503, f"the directory to answer about {path}",
                   timeout=NOTICED_WITHIN, process=walk.stack.sidecar)


def recorded(walk: Walk, *fields: str) -> Check:
    """The sidecar's log has a decision with all of these."""

    def check(_: Response) -> Optional[str]:
        log = walk.stack.folder / "sidecar.log"

        def found() -> bool:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            return any(all(field in line for field in fields) for line in lines)

        wait_until(found, f"the sidecar's log to say {' '.join(fields)}", timeout=NOTICED_WITHIN, process=walk.stack.sidecar)
        return None

    return check


def super_admin(walk: Walk) -> None:
    walk.table.section("SUPER_ADMIN: every company, and on behalf of anybody")
    root, ada = token_of(walk, "root", None), token_of(walk, "ada")
    introduce(walk, root, f"{STAFF}/eve", f"{STAFF}/ada", f"{GLOBEX}/employees/gus")
    walk.step("root changes the ADMIN of acme", "PUT", f"{STAFF}/ada", 200, "allowed", token=root, body={"title": "Chair"},
              check=saw_identity(user_id="root", tenant_id="acme", user_scope="*"))
    walk.step("and somebody at globex", "PUT", f"{GLOBEX}/employees/gus", 200, "allowed", token=root, body={"title": "Clerk"},
              check=saw_identity(user_id="root", tenant_id="globex"))
    walk.step("root founds a company", "POST", "/companies", 200, "allowed", token=root, body={"id": "initech"})
    walk.step("ada (ADMIN of acme) does not", "POST", "/companies", 403, "realm_mismatch", token=ada, body={"id": "initech"})
    for_eve = walk.on_behalf(root, "eve", "acme")
    walk.step("root acts on behalf of eve", "GET", f"{STAFF}/eve", 200, "allowed", token=for_eve,
              check=both(saw_identity(user_id="eve", actor_id="root", user_roles="EMPLOYEE"),
                         recorded(walk, 'reason="allowed"', 'subject="eve"', 'actor="root"')),
              note=show_identity)
    walk.step("with eve's rights and no others", "GET", f"{STAFF}/ed", 403, "permission_missing", token=for_eve)
    walk.step("and does not set her password", "PUT", f"{STAFF}/eve/password", 403, "acting_not_allowed", token=for_eve,
              check=recorded(walk, 'reason="acting_not_allowed"', 'subject="eve"', 'actor="root"'))
    walk.step("eve does", "PUT", f"{STAFF}/eve/password", 200, "allowed", token=token_of(walk, "eve"))
    exchange = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject": "eve", "tenant": "acme"}
    walk.step("ada acts on behalf of nobody", "POST", "/v1/token", 403, "public", token=ada, body=exchange)


def admin(walk: Walk) -> None:
    walk.table.section("ADMIN: everything within one company")
    ada = token_of(walk, "ada")
    introduce(walk, ada, f"{STAFF}/hanna")
    walk.step("ada (ADMIN) changes HR", "PUT", f"{STAFF}/hanna", 200, "allowed", token=ada, body={"title": "Head of people"},
              check=saw_identity(user_id="ada", tenant_id="acme"))
    walk.step("and the settings", "PUT", f"{ACME}/settings", 200, "allowed", token=ada, body={"language": "en"})
    walk.step("of acme alone", "PUT", f"{GLOBEX}/settings", 403, "tenant_mismatch", token=ada, body={"language": "en"},
              check=tells_nothing)


def human_resources(walk: Walk) -> None:
    walk.table.section("HR: the whole company, except ADMIN and other HR")
    hanna, erin, ada = token_of(walk, "hanna"), token_of(walk, "erin", "globex"), token_of(walk, "ada")
    two_factors = token_of(walk, "hanna", otp=True)
    introduce(walk, ada, f"{STAFF}/mike", f"{STAFF}/hugo", f"{STAFF}/erin")
    walk.step("hanna (HR) changes a MANAGER", "PUT", f"{STAFF}/mike", 200, "allowed", token=hanna, body={"title": "Lead"})
    walk.step("not other HR", "PUT", f"{STAFF}/hugo", 403, "target_not_managed", token=hanna, body={"title": "Clerk"},
              check=tells_nothing)
    walk.step("not an ADMIN", "PUT", f"{STAFF}/ada", 403, "target_not_managed", token=hanna, body={"title": "Clerk"})
    walk.step("not herself", "PUT", f"{STAFF}/hanna", 403, "target_not_managed", token=hanna, body={"title": "Head"})
    walk.step("she appoints a MANAGER", "PUT", f"{STAFF}/erin/role", 200, "allowed", token=hanna, body={"role": "MANAGER"})
    walk.step("and no ADMIN", "PUT", f"{STAFF}/erin/role", 403, "permission_missing", token=hanna, body={"role": "ADMIN"})
    walk.step("to dismiss somebody takes two factors", "DELETE", f"{STAFF}/erin", 401, "authentication_insufficient", token=hanna,
              check=challenges_with('Bearer realm="service", error="insufficient_user_authentication"'))
    walk.step("hanna with a one-time password", "DELETE", f"{STAFF}/erin", 200, "allowed", token=two_factors)
    walk.step("erin, an EMPLOYEE here, is HR at globex", "GET", f"{GLOBEX}/employees/gus", 200, "allowed", token=erin,
              check=saw_identity(user_id="erin", tenant_id="globex", user_roles="HR"))


def manager(walk: Walk) -> None:
    walk.table.section("MANAGER: the people of the own department, except who is more than EMPLOYEE")
    mary = token_of(walk, "mary")
    walk.step("mary (engineering) changes eve", "PUT", f"{STAFF}/eve", 200, "allowed", token=mary, body={"title": "Engineer"},
              check=saw_identity(user_id="mary", user_scope="department"))
    walk.step("not erin, of sales", "PUT", f"{STAFF}/erin", 403, "scope_insufficient", token=mary, body={"title": "Engineer"})
    walk.step("not hugo, HR in engineering", "PUT", f"{STAFF}/hugo", 403, "target_not_managed", token=mary, body={"title": "Clerk"})
    walk.step("she lists the staff: her department's", "GET", STAFF, 200, "allowed", token=mary, headers=[("x-user-scope", "all")],
              check=saw_identity(user_scope="department"), note=show_identity)
    walk.step("she hires into engineering", "POST", STAFF, 200, "allowed", token=mary,
              body={"id": "zoe", "role": "EMPLOYEE", "department": "engineering"})
    walk.step("not into sales", "POST", STAFF, 403, "permission_missing", token=mary,
              body={"id": "zoe", "role": "EMPLOYEE", "department": "sales"})


def employee(walk: Walk) -> None:
    walk.table.section("EMPLOYEE: safe fields of the own profile, and the directory")
    eve = token_of(walk, "eve")
    profile = f"{STAFF}/eve/profile"
    walk.step("eve changes avatar and street", "PUT", profile, 200, "allowed", token=eve,
              body={"avatar": "eve.png", "address": {"street": "Main Street 1"}})
    walk.step("not her role", "PUT", profile, 403, "body_field_not_allowed", token=eve, body={"phone": "123", "role": "ADMIN"},
              check=tells_nothing)
    walk.step("not the country she is taxed in", "PUT", profile, 403, "body_field_not_allowed", token=eve,
              body={"address": {"street": "Main Street 1", "country": "XX"}})
    walk.step("not ed's profile", "PUT", f"{STAFF}/ed/profile", 403, "target_not_self", token=eve, body={"phone": "123"})
    walk.step("she reads the colleagues' directory", "GET", f"{ACME}/directory", 200, "allowed", token=eve)
    walk.step("and does not write it", "PUT", f"{ACME}/directory", 403, "permission_missing", token=eve, body={"eve": "Queen"})
    said = [("x-user-roles", "ADMIN"), ("x-user-attributes", "department=board"), ("x-actor-id", "root")]
    walk.step("what she says of herself never arrives", "GET", f"{ACME}/directory", 200, "allowed", token=eve, headers=said,
              check=both(saw_identity(user_id="eve", user_roles="EMPLOYEE"), saw_none_of(said)))


def bodies(walk: Walk) -> None:
    walk.table.section("Bodies that could be read in two ways, or not at all")
    eve = token_of(walk, "eve")

    def send(step: str, status: int, reason: str, body: bytes, *headers: tuple[str, str]) -> None:
        walk.step(step, "PUT", f"{STAFF}/eve/profile", status, reason, token=eve, body=body,
                  headers=headers or [("content-type", "application/json")])

    plain = ("content-type", "application/json")
    phone = b'{"phone": "123"}'
    send("a field twice", 400, "body_malformed", b'{"about": "x", "about": "y"}')
    send("a body that breaks off", 400, "body_malformed", b'{"phone": "123"')
    send("another charset", 400, "body_malformed", '{"phone": "123"}'.encode("utf-16"),
         ("content-type", "application/json; charset=utf-16"))
    send("a form", 400, "body_malformed", b"phone=123&role=ADMIN", ("content-type", "application/x-www-form-urlencoded"))
    send("compressed", 403, "body_unavailable", gzip.compress(phone), plain, ("content-encoding", "gzip"))
    send("in pieces, without saying how long", 403, "body_unavailable", b"%x\r\n%s\r\n0\r\n\r\n" % (len(phone), phone), plain,
         ("transfer-encoding", "chunked"))
    send("longer than what is sent along", 403, "body_unavailable", json.dumps({"about": "x" * 70_000}).encode())


def who_nobody_can_tell(walk: Walk) -> None:
    walk.table.section("The directory hangs, lies, or is gone")
    hanna = token_of(walk, "hanna")
    directory = OddDirectory()
    before = walk.change_policy(f"url: http://{walk.stack.address('identity')}/v1/directory", f"url: {directory.url}")

    def ask(step: str, user: str, status: int, reason: str, **more: Any) -> None:
        walk.step(step, "GET", f"{STAFF}/{user}", status, reason, token=hanna, **more)

    try:
        walk.step_until("another directory takes over", "GET", f"{STAFF}/honest", 200, "allowed", token=hanna, within=NOTICED_WITHIN)
        ask("it takes its time: not decided", "slow", 503, "target_unavailable", check=tells_nothing)
        directory.hurry()
        ask("it answers about somebody else", "liar", 503, "target_unavailable")
        ask("it answers about another company", "stranger", 503, "target_unavailable")
        ask("its answer breaks off", "broken", 503, "target_unavailable")
        introduce(walk, hanna, f"{STAFF}/nobody")
        ask("it knows nobody of that name", "nobody", 403, "target_unknown", check=tells_nothing)
        directory.end()
        ask("it is gone: what it said holds for a while", "honest", 200, "allowed")
        ask("what it did not say is not decided", "gone", 503, "target_unavailable")
        ask("what is about oneself does not need it", "hanna", 200, "allowed")
    finally:
        directory.end()
        walk.write_policy(before)


class OddDirectory:
    """A directory that treats each user as their name says."""

    def __init__(self) -> None:
        self._hurry = threading.Event()
        hurry = self._hurry

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                user = url.path.rsplit("/", 1)[-1]
                if user == "slow":
                    hurry.wait()
                entry = {"user": user, "tenant": parse_qs(url.query)["tenant"][0], "roles": ["EMPLOYEE"], "attributes": {}}
                entry.update({"liar": {"user": "eve"}, "stranger": {"tenant": "globex"}}.get(user, {}))
                body = b"" if user == "nobody" else json.dumps(entry).encode()
                self.send_response(404 if user == "nobody" else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:20] if user == "broken" else body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/people"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def hurry(self) -> None:
        """Answers what is still waiting."""
        self._hurry.set()

    def end(self) -> None:
        self.hurry()
        self._server.shutdown()
        self._server.server_close()
