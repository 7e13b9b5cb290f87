"""What the owner, administrators and developers do in the panel, and when and from where they can."""

from __future__ import annotations

import json
import time
from typing import Any, Optional

from checks import Check, both, challenges_with, has_header, says, saw_identity, saw_none_of, show_challenge, tells_nothing
from client import Response
from hints import Hint
from walk import NOTICED_WITHIN, REVOKED_WITHIN, Walk

USERS, BILLING, DEBUG, SUPER = "/admin/users", "/admin/billing", "/dev/debug", "/super/organizations"

HINTS = (
    Hint("olga", "GET", SUPER, "200: olga owns the system, and used two factors"),
    Hint("anna", "GET", USERS, "200: anna administers users"),
    Hint("anna", "GET", BILLING, "403: and no bills"),
    Hint("anna", "GET", "/permissions", "200: what she may do"),
    Hint("anna", "POST", "/graphql", "200", "--json '{\"query\": \"{ users { id } }\"}'"),
    Hint("anna", "POST", "/graphql", "403: whatever it is called", "--json '{\"query\": \"{ me: invoices { id } }\"}'"),
    Hint("dora", "GET", DEBUG, "200: dora is a developer"),
    Hint("dora", "GET", USERS, "403: and no administrator"),
)

# Texts of the policy that an operator changes while it is in force.
OFFICE = "allow: [10.20.0.0/16,"
HOURS = 'days: [mon-fri], hours: "07:00-19:00"'
SESSION = "session: { max_age: 30m, warn_before: 5m }"
STEP_UP = 'Bearer realm="service", error="insufficient_user_authentication"'


def run(walk: Walk) -> None:
    tokens = {name: token_of(walk, name) for name in ("anna", "bert", "dora", "dan")}
    tokens["tess"] = token_of(walk, "tess", "school")
    networks_and_hours(walk, tokens)
    # From here on, the office is this machine, and always open.
    tokens["olga"] = owner(walk, tokens)
    administrators(walk, tokens)
    developers(walk, tokens)
    graphql(walk, tokens)
    front_end(walk, tokens)
    audit_trail(walk, tokens)
    sessions(walk, tokens)
    emergency(walk, tokens)


def token_of(walk: Walk, user: str, tenant: Optional[str] = None, *, otp: bool = False) -> str:
    return str(walk.log_in(user, tenant, otp=otp)["access_token"])


def networks_and_hours(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("From where and when administration is open")
    anna = tokens["anna"]
    walk.step("anna is not in the company's network", "GET", USERS, 403, "network_not_allowed", token=anna, check=tells_nothing)
    walk.step("a header does not bring her there", "GET", USERS, 403, "network_not_allowed", token=anna,
              headers=[("x-forwarded-for", "10.20.1.2")])
    walk.step("dev is open from anywhere", "GET", DEBUG, 200, "allowed", token=tokens["dora"])
    walk.change_policy(OFFICE, OFFICE.replace("[", "[127.0.0.0/8, "))
    another_day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(time.gmtime().tm_wday + 3) % 7]
    closed = f'days: [{another_day}], hours: "07:00-19:00"'
    walk.change_policy(HOURS, closed)
    walk.step_until("she is, and it is another day", "GET", USERS, 403, "outside_schedule", token=anna, within=NOTICED_WITHIN)
    walk.change_policy(closed, 'hours: "00:00-24:00"')
    walk.step_until("it is time", "GET", USERS, 200, "allowed", token=anna, within=NOTICED_WITHIN,
                    check=saw_identity(user_id="anna", user_roles="admin"))


def owner(walk: Walk, tokens: dict[str, str]) -> str:
    walk.table.section("The system owner: all three tiers, super with several factors")
    password = token_of(walk, "olga")
    walk.step("olga with a password: not enough", "GET", SUPER, 401, "authentication_insufficient", token=password,
              check=challenges_with(STEP_UP), note=show_challenge)
    walk.step("for admin it is", "GET", BILLING, 200, "allowed", token=password)
    olga = token_of(walk, "olga", otp=True)
    walk.step("with a one-time password besides", "GET", SUPER, 200, "allowed", token=olga,
              check=saw_identity(user_id="olga", user_roles="system_owner"))
    walk.step("just now: she closes an organization", "DELETE", f"{SUPER}/1", 200, "allowed", token=olga)
    walk.step("she reaches dev", "GET", "/dev/performance", 200, "allowed", token=olga)
    walk.step("anna (admin) does not reach super", "GET", SUPER, 403, "permission_missing", token=tokens["anna"], check=tells_nothing)
    walk.step("nor does dora (developer)", "PUT", "/super/emergency/dev", 403, "permission_missing", token=tokens["dora"])
    return olga


def administrators(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("Administrators: /admin, each function with its ability")
    walk.step("anna changes a user", "PUT", f"{USERS}/7", 200, "allowed", token=tokens["anna"], body={"name": "x"})
    walk.step("and no bill", "PUT", BILLING, 403, "permission_missing", token=tokens["anna"])
    walk.step("bert does", "PUT", BILLING, 200, "allowed", token=tokens["bert"])
    walk.step("anna removes a user", "DELETE", f"{USERS}/7", 200, "allowed", token=tokens["anna"])
    walk.step("but not herself", "DELETE", f"{USERS}/anna", 403, "condition_not_met", token=tokens["anna"])
    walk.step("anna does not reach dev", "GET", DEBUG, 403, "permission_missing", token=tokens["anna"])
    walk.step("tess administers a school, not us", "GET", "/admin/classes", 403, "realm_mismatch", token=tokens["tess"])


def developers(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("Developers: /dev")
    walk.step("dora opens the debug panel", "GET", DEBUG, 200, "allowed", token=tokens["dora"])
    walk.step("and sees no performance", "GET", "/dev/performance", 403, "permission_missing", token=tokens["dora"])
    walk.step("dan has an ability of another tier", "GET", USERS, 403, "permission_missing", token=tokens["dan"])
    said = [("x-user-roles", "system_owner"), ("x-user-permissions", "TIER_ADMIN"), ("x-original-url", USERS)]
    walk.step("what dan says of himself never arrives", "GET", "/dev/performance", 200, "allowed", token=tokens["dan"], headers=said,
              check=both(saw_identity(user_id="dan", user_roles="developer"), saw_none_of(said)))


def graphql(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("GraphQL: judged by the fields that are asked for")

    def ask(step: str, who: str, status: int, reason: str, document: str, **more: Any) -> None:
        walk.step(step, "POST", "/graphql", status, reason, token=tokens[who], body={"query": document, **more})

    ask("anna asks for users", "anna", 200, "allowed", "{ users { id name } }")
    ask("bert does not", "bert", 403, "permission_missing", "{ users { id name } }")
    ask("an alias hides nothing", "anna", 403, "permission_missing", "{ me: invoices { id } }")
    ask("nor does a fragment", "anna", 403, "permission_missing", "{ ...F } fragment F on Query { users { id } invoices { id } }")
    two = "query A { users { id } } query B { invoices { id } }"
    ask("of two operations the one that is named", "anna", 200, "allowed", two, operationName="A")
    ask("... or the other one", "anna", 403, "permission_missing", two, operationName="B")
    ask("... or none", "anna", 400, "body_malformed", two)
    walk.step("a batch is judged as a whole", "POST", "/graphql", 403, "permission_missing", token=tokens["anna"],
              body=[{"query": "{ users { id } }"}, {"query": "{ invoices { id } }"}])
    ask("what is not listed is refused", "olga", 403, "graphql_field_not_listed", "mutation { dropTables }")
    walk.step("a document in the address", "POST", "/graphql?query=%7Binvoices%7D", 400, "body_malformed", token=tokens["anna"],
              body={"query": "{ me { name } }"})


def front_end(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("The front end asks what the current user may do")
    walk.step("anna: her tier and two abilities", "GET", "/permissions", 200, "answered", token=tokens["anna"],
              check=may("ADMIN_CLASS_MANAGEMENT", "ADMIN_USER_MANAGEMENT", "TIER_ADMIN"))
    walk.step("dan: what no route of his asks for, too", "GET", "/permissions", 200, "answered", token=tokens["dan"],
              check=may("ADMIN_USER_MANAGEMENT", "DEV_PERFORMANCE_MONITOR", "TIER_DEV"))
    walk.step("nobody: nothing", "GET", "/permissions", 401, "credential_missing")


def may(*permissions: str) -> Check:
    """The answer lists exactly these permissions."""

    def check(response: Response) -> Optional[str]:
        listed = sorted(entry["permission"] for entry in response.json().get("permissions", []))
        return None if listed == sorted(permissions) else f"expected {sorted(permissions)}, got {listed}"

    return both(says(tenant=None), check)


def audit_trail(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("Everything administrative is recorded: who, when, what")
    anna, bert = {"issuer": "id", "subject": "anna"}, {"issuer": "id", "subject": "bert"}
    removal = {"method": "DELETE", "route": "user", "parameters": {"user": "8"}}
    walk.step("anna removes a user, and that is recorded", "DELETE", f"{USERS}/8", 200, "allowed", token=tokens["anna"],
              check=recorded(walk, anna, removal, "allowed"))
    walk.step("bert does not, and that is recorded too", "DELETE", f"{USERS}/8", 403, "permission_missing", token=tokens["bert"],
              check=recorded(walk, bert, removal, "permission_missing"))
    walk.step("in GraphQL too, with what is asked for", "POST", "/graphql", 200, "allowed", token=tokens["anna"],
              body={"query": "mutation { a: deleteUser(id: 9) { id } }"},
              check=recorded(walk, anna, {"method": "POST", "route": "graphql", "graphql": ["mutation deleteUser"]}, "allowed"))
    walk.step("nobody changed the trail", "GET", "/admin/audit", 200, "allowed", token=tokens["olga"], check=intact(walk))
    walk.step("whoever did would be found out", "GET", "/admin/audit", 403, "permission_missing", token=tokens["anna"],
              check=forgery_is_found(walk))


def recorded(walk: Walk, who: dict[str, Any], what: dict[str, Any], reason: str) -> Check:
    """The last record is this one. It is there before the answer is."""

    def check(_: Response) -> Optional[str]:
        last = json.loads(walk.stack.audit_trail.read_text(encoding="utf-8").splitlines()[-1])
        said = {name: last["who"].get(name) for name in who}
        if said == who and last["what"] == what and last["reason"] == reason:
            return None
        return f"expected {who}, {what}, {reason}, and the last record is {last}"

    return check


def intact(walk: Walk) -> Check:
    """`portcullis audit verify` finds nothing."""

    def check(_: Response) -> Optional[str]:
        status, said = walk.stack.audit_verdict(walk.stack.audit_trail)
        return None if status == 0 else f"the audit trail is not intact: {said}"

    return check


def forgery_is_found(walk: Walk) -> Check:
    """In a copy where somebody else removed the user, it is the record of that which is named."""

    def check(_: Response) -> Optional[str]:
        lines = walk.stack.audit_trail.read_text(encoding="utf-8").splitlines(keepends=True)
        number = max(number for number, line in enumerate(lines) if '"user":"8"' in line and '"allowed"' in line)
        lines[number] = lines[number].replace("anna", "dora")
        copy = walk.stack.folder / "forged.jsonl"
        copy.write_text("".join(lines), encoding="utf-8")
        status, said = walk.stack.audit_verdict(copy)
        return None if status == 1 and f"{copy}:{number + 1}: changed" in said else f"the forgery was not found: {said}"

    return check


def sessions(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("Administrative sessions end, with a warning before")
    anna = tokens["anna"]
    before = walk.change_policy(SESSION, "session: { max_age: 2s }")
    walk.step_until("two seconds are over, were they the limit", "GET", USERS, 401, "session_expired", token=anna,
                    within=NOTICED_WITHIN, check=challenges_with(STEP_UP))
    walk.step("dev does not mind", "GET", DEBUG, 200, "allowed", token=tokens["dora"])
    walk.write_policy(before)
    walk.change_policy(SESSION, SESSION.replace("5m", "1799s"))
    walk.step_until("shortly before the end, the answer says so", "GET", USERS, 200, "allowed", token=anna, within=NOTICED_WITHIN,
                    check=has_header("x-session-ends-in", "1"))
    walk.write_policy(before)
    walk.step("anna logs out", "POST", "/v1/logout", 204, "allowed", token=anna)
    walk.step_until("and is out", "GET", USERS, 401, "token_revoked", token=anna, within=REVOKED_WITHIN)


def emergency(walk: Walk, tokens: dict[str, str]) -> None:
    walk.table.section("Emergency: one line closes a tier at once, for everybody")
    closed = "lockdown: suspicious log-ins\n"
    olga = tokens["olga"]

    def close(step: str, path: str, place: str, with_lockdown: str) -> str:
        before = walk.change_policy(place, with_lockdown)
        walk.step_until(step, "GET", path, 403, "locked_down", token=olga, within=NOTICED_WITHIN, check=tells_nothing)
        return before

    def open_again(step: str, path: str, before: str) -> None:
        walk.write_policy(before)
        walk.step_until(step, "GET", path, 200, "allowed", token=olga, within=NOTICED_WITHIN)

    before = close("super is closed, for olga too", SUPER, "      - prefix: /super\n", f"      - prefix: /super\n        {closed}")
    open_again("super is open again", SUPER, before)
    before = close("admin is closed, for olga too", BILLING, "      - networks: {", f"      - {closed}        networks: {{")
    walk.step("so is GraphQL", "POST", "/graphql", 403, "locked_down", token=olga, body={"query": "{ me { name } }"})
    walk.step("the other tiers are not", "GET", DEBUG, 200, "allowed", token=tokens["dora"])
    open_again("admin is open again", BILLING, before)
    before = close("dev is closed, for olga too", DEBUG, "  - prefix: /dev\n", f"  - prefix: /dev\n    {closed}")
    open_again("dev is open again", DEBUG, before)
