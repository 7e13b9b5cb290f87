"""What people of the platform and of its tenants do, and try to do."""

from __future__ import annotations

from typing import Any, Optional

from checks import (
    Check,
    both,
    challenges_with,
    did_not_see,
    lists_session,
    saw_identity,
    saw_no_identity,
    saw_none_of,
    show_challenge,
    show_identity,
    tells_nothing,
)
from client import Response
from forge import unsigned, with_claims
from hints import Hint
from walk import NOTICED_WITHIN, REVOKED_WITHIN, Walk

LEADS = "/crm/leads"
ACME, GLOBEX = [("x-tenant", "acme")], [("x-tenant", "globex")]

HINTS = (
    Hint("bob", "GET", LEADS, "200: bob is a USER of acme", "-H 'x-tenant: acme'"),
    Hint("bob", "GET", LEADS, "403: not of globex with this token", "-H 'x-tenant: globex'"),
    Hint("bob", "GET", LEADS, "403: the request has to say which tenant"),
    Hint("bob", "DELETE", f"{LEADS}/1", "403: that is for ADMIN", "-H 'x-tenant: acme'"),
    Hint("alice", "DELETE", f"{LEADS}/1", "200: which alice is", "-H 'x-tenant: acme'"),
    Hint("alice", "GET", "/system/tenants", "403: but not of the platform"),
    Hint("olga", "GET", "/system/tenants", "200: olga is ADMIN there"),
    Hint("root", "GET", LEADS, "403: not even SUPER_ADMIN gets into a tenant", "-H 'x-tenant: acme'"),
    Hint("dora", "PUT", "/inbox/1/assignee", "200: a role of acme's own", "-H 'x-tenant: acme'"),
)


def run(walk: Walk) -> None:
    authenticated(walk)
    scope(walk)
    role(walk)
    tenant(walk)
    roles_of_tenants(walk)
    without_code(walk)
    errors(walk)
    sessions(walk)


def token_of(walk: Walk, user: str, tenant: Optional[str]) -> str:
    return str(walk.log_in(user, tenant)["access_token"])


def authenticated(walk: Walk) -> None:
    walk.table.section("First guard: authenticated")
    walk.step("bob logs in to acme", "POST", "/v1/login", 200, "public", body=walk.credentials("bob", "acme"))
    walk.step("bob is nobody on the platform", "POST", "/v1/login", 403, "public", body=walk.credentials("bob", None))
    bob = token_of(walk, "bob", "acme")
    walk.step("no token, at a tenant's route", "GET", LEADS, 401, "credential_missing", headers=ACME)
    walk.step("no token, at the platform's", "GET", "/system/reports", 401, "credential_missing")
    walk.step("bob's token", "GET", LEADS, 200, "allowed", token=bob, headers=ACME,
              check=saw_identity(user_id="bob", tenant_id="acme", user_roles="USER"), note=show_identity)
    walk.step("... with another scope and role", "GET", "/system/tenants", 401, "signature_invalid",
              token=with_claims(bob, scope="system", tenant_id=None, roles=["SUPER_ADMIN"]))
    walk.step("... and without a signature", "GET", "/system/tenants", 401, "algorithm_not_allowed",
              token=unsigned(bob, scope="system", tenant_id=None, roles=["SUPER_ADMIN"]))


def scope(walk: Walk) -> None:
    walk.table.section("Second guard: the scope of the token is the route's")
    root, olga, sam = (token_of(walk, user, None) for user in ("root", "olga", "sam"))
    alice, gus = token_of(walk, "alice", "acme"), token_of(walk, "gus", "acme")
    walk.step("sam (USER of the platform): reports", "GET", "/system/reports", 200, "allowed", token=sam,
              check=both(saw_identity(user_id="sam", user_roles="USER"), did_not_see("x-tenant-id")))
    walk.step("olga (ADMIN of the platform): tenants", "GET", "/system/tenants", 200, "allowed", token=olga)
    walk.step("alice (ADMIN of acme): tenants", "GET", "/system/tenants", 403, "realm_mismatch", token=alice)
    walk.step("alice: her own tenant's entry", "GET", "/system/tenants/acme", 403, "realm_mismatch", token=alice)
    walk.step("gus (GUEST of acme): reports", "GET", "/system/reports", 403, "realm_mismatch", token=gus)
    for path in (LEADS, "/inbox", "/automations", "/team"):
        walk.step(f"root (SUPER_ADMIN): {path}", "GET", path, 403, "realm_mismatch", token=root, headers=ACME)
    walk.step("olga: leads, which an ADMIN may read", "GET", LEADS, 403, "realm_mismatch", token=olga, headers=ACME)


def role(walk: Walk) -> None:
    walk.table.section("Third guard: the role")
    root, olga, sam = (token_of(walk, user, None) for user in ("root", "olga", "sam"))
    alice, bob, gus = (token_of(walk, user, "acme") for user in ("alice", "bob", "gus"))
    new = {"id": "initech"}
    walk.step("root (SUPER_ADMIN) creates a tenant", "POST", "/system/tenants", 200, "allowed", token=root, body=new)
    walk.step("olga (ADMIN) does not", "POST", "/system/tenants", 403, "permission_missing", token=olga, body=new)
    walk.step("olga suspends one", "PUT", "/system/tenants/globex/suspension", 200, "allowed", token=olga, body={})
    walk.step("sam (USER) does not", "PUT", "/system/tenants/globex/suspension", 403, "permission_missing", token=sam, body={})
    walk.step("alice (ADMIN) deletes a lead", "DELETE", f"{LEADS}/1", 200, "allowed", token=alice, headers=ACME)
    walk.step("bob (USER) does not", "DELETE", f"{LEADS}/1", 403, "permission_missing", token=bob, headers=ACME)
    won = {"state": "won"}
    walk.step("bob changes one", "PUT", f"{LEADS}/1", 200, "allowed", token=bob, headers=ACME, body=won)
    walk.step("gus (GUEST) does not", "PUT", f"{LEADS}/1", 403, "permission_missing", token=gus, headers=ACME, body=won)
    walk.step("gus reads them", "GET", LEADS, 200, "allowed", token=gus, headers=ACME)
    walk.step("gus and the inbox", "GET", "/inbox", 403, "permission_missing", token=gus, headers=ACME)
    walk.step("gus and the automations", "GET", "/automations", 403, "permission_missing", token=gus, headers=ACME)
    walk.step("bob runs an automation", "POST", "/automations/7/runs", 200, "allowed", token=bob, headers=ACME)
    walk.step("and creates none", "POST", "/automations", 403, "permission_missing", token=bob, headers=ACME)


def tenant(walk: Walk) -> None:
    walk.table.section("Fourth guard: the request names its tenant, and it is the token's")
    alice, eve = token_of(walk, "alice", "acme"), token_of(walk, "eve", "globex")
    bob_at_globex = token_of(walk, "bob", "globex")
    walk.step("eve (ADMIN of globex) at home", "GET", LEADS, 200, "allowed", token=eve, headers=GLOBEX,
              check=saw_identity(user_id="eve", tenant_id="globex"))
    walk.step("eve and acme's leads", "GET", LEADS, 403, "tenant_mismatch", token=eve, headers=ACME)
    walk.step("eve and acme's inbox", "GET", "/inbox", 403, "tenant_mismatch", token=eve, headers=ACME)
    walk.step("eve and acme's automations", "POST", "/automations/7/runs", 403, "tenant_mismatch", token=eve, headers=ACME)
    walk.step("no tenant in the request", "GET", LEADS, 403, "tenant_unbound", token=eve)
    walk.step("two tenants in the request", "GET", LEADS, 403, "tenant_unbound", token=eve, headers=[*GLOBEX, *ACME])
    walk.step("alice (ADMIN of acme) and globex", "DELETE", f"{LEADS}/1", 403, "tenant_mismatch", token=alice, headers=GLOBEX)
    walk.step("bob is a GUEST there, with another token", "GET", LEADS, 200, "allowed", token=bob_at_globex, headers=GLOBEX,
              check=saw_identity(user_id="bob", tenant_id="globex", user_roles="GUEST"))
    walk.step("which is nothing at acme", "GET", LEADS, 403, "tenant_mismatch", token=bob_at_globex, headers=ACME)
    said = [("x-tenant-id", "acme"), ("x-user-roles", "SUPER_ADMIN"), ("x-user-scope", "system")]
    walk.step("what eve says of herself never arrives", "GET", LEADS, 200, "allowed", token=eve, headers=[*GLOBEX, *said],
              check=both(saw_identity(tenant_id="globex", user_roles="ADMIN"), saw_none_of(said)))


def roles_of_tenants(walk: Walk) -> None:
    walk.table.section("Roles that tenants define for themselves")
    acme, globex = token_of(walk, "dora", "acme"), token_of(walk, "dora", "globex")
    adam = token_of(walk, "adam", "acme")
    walk.step("dora, acme's DISPATCHER, assigns a message", "PUT", "/inbox/1/assignee", 200, "allowed", token=acme, headers=ACME,
              body={"to": "bob"})
    walk.step("and runs no automation", "POST", "/automations/7/runs", 403, "permission_missing", token=acme, headers=ACME)
    walk.step("globex's DISPATCHER is another: it does", "POST", "/automations/7/runs", 200, "allowed", token=globex,
              headers=GLOBEX)
    walk.step("and assigns nothing", "PUT", "/inbox/1/assignee", 403, "permission_missing", token=globex, headers=GLOBEX,
              body={"to": "bob"})
    walk.step("adam's role, 'everything', grants modules", "GET", LEADS, 200, "allowed", token=adam, headers=ACME)
    walk.step("but not the team", "POST", "/team", 403, "permission_missing", token=adam, headers=ACME, body={"email": "x@y"})
    walk.step("nor the platform", "GET", "/system/tenants", 403, "realm_mismatch", token=adam)


def without_code(walk: Walk) -> None:
    walk.table.section("A module is added while everything runs")
    bob, gus = token_of(walk, "bob", "acme"), token_of(walk, "gus", "acme")
    invoices = "/billing/invoices"
    module = (
        "  - prefix: /billing\n    realm: tenant\n    tenant: { header: x-tenant }\n    routes:\n"
        '      - { path: /invoices, name: invoices, methods: { GET: { permission: "billing:invoices.read" } } }\n'
    )
    walk.step("there is no billing", "GET", invoices, 403, "route_not_found", token=bob, headers=ACME)
    original = walk.change_policy("groups:\n", "groups:\n" + module)
    walk.step_until("now there is, and nobody has it", "GET", invoices, 403, "permission_missing", token=bob, headers=ACME,
                    within=NOTICED_WITHIN)
    walk.change_policy("    tenant-user:\n", '    tenant-user:\n      - "billing:invoices.read"\n')
    walk.step_until("USER has it", "GET", invoices, 200, "allowed", token=bob, headers=ACME, within=NOTICED_WITHIN)
    walk.step("GUEST does not", "GET", invoices, 403, "permission_missing", token=gus, headers=ACME)
    walk.step("and it is closed to other tenants at once", "GET", invoices, 403, "tenant_mismatch", token=bob, headers=GLOBEX)
    walk.write_policy(original)
    walk.step_until("it is taken away again", "GET", invoices, 403, "route_not_found", token=bob, headers=ACME,
                    within=NOTICED_WITHIN)


def errors(walk: Walk) -> None:
    walk.table.section("Errors show nothing: every refusal of a good token looks the same")
    bob, root = token_of(walk, "bob", "acme"), token_of(walk, "root", None)
    forbidden = challenges_with('Bearer realm="service", error="insufficient_scope"')
    check = both(tells_nothing, forbidden, same_as_before())
    walk.step("a wrong scope", "GET", "/system/tenants", 403, "realm_mismatch", token=bob, check=check, note=show_body)
    walk.step("a wrong scope, the other way round", "GET", LEADS, 403, "realm_mismatch", token=root, headers=ACME, check=check)
    walk.step("a wrong role", "DELETE", f"{LEADS}/1", 403, "permission_missing", token=bob, headers=ACME, check=check)
    walk.step("a wrong tenant", "GET", LEADS, 403, "tenant_mismatch", token=bob, headers=GLOBEX, check=check)
    walk.step("a tenant that there is not", "GET", LEADS, 403, "tenant_mismatch", token=bob, headers=[("x-tenant", "nowhere")],
              check=check)
    walk.step("no tenant", "GET", LEADS, 403, "tenant_unbound", token=bob, check=check)
    walk.step("a route that there is not", "GET", "/system/secrets", 403, "route_not_found", token=bob, check=check)
    walk.step("a method that there is not", "PATCH", LEADS, 403, "method_not_allowed", token=bob, headers=ACME, check=check)
    invalid = both(tells_nothing, challenges_with('Bearer realm="service", error="invalid_token"'), same_as_before())
    walk.step("a forged token", "GET", LEADS, 401, "signature_invalid", token=with_claims(bob, sub="root"), headers=ACME,
              check=invalid, note=show_challenge)
    walk.step("one of a foreign issuer", "GET", LEADS, 401, "issuer_unknown", token=with_claims(bob, iss="https://evil.example"),
              headers=ACME, check=invalid)
    walk.step("no token at a public route", "GET", "/health", 200, "public", check=saw_no_identity)


def same_as_before() -> Check:
    """The answer differs from the earlier ones in nothing but its number."""
    before: list[Any] = []

    def check(response: Response) -> Optional[str]:
        told = {**response.json(), "request_id": None}, response.header("www-authenticate")
        before.append(told)
        return None if told == before[0] else f"expected the same answer as before, {before[0]}, got {told}"

    return check


def show_body(response: Response) -> str:
    return response.body.decode()


def sessions(walk: Walk) -> None:
    walk.table.section("Sessions: recorded, ended, and limited in number")
    browser = [("user-agent", "demo-browser/1.0")]
    laptop = walk.step("bob logs in on his laptop", "POST", "/v1/login", 200, "public", headers=browser,
                       body=walk.credentials("bob", "acme", "laptop")).json()
    alice, eve = token_of(walk, "alice", "acme"), token_of(walk, "eve", "globex")
    root = token_of(walk, "root", None)
    token, session = laptop.get("access_token", ""), laptop.get("session_id", "")
    recorded = lists_session(session, user="bob", tenant="acme", device="laptop", ip="127.0.0.1", user_agent="demo-browser/1.0",
                             revoked=False)
    walk.step("it is recorded: from where, with what", "GET", "/v1/sessions", 200, "allowed", token=token, check=recorded)
    walk.step("alice (ADMIN of acme) sees it", "GET", "/v1/sessions?user=bob", 200, "allowed", token=alice, check=recorded)
    walk.step("eve (ADMIN of globex) cannot end it", "DELETE", f"/v1/sessions/{session}", 404, "allowed", token=eve)
    walk.step("nor can root: it is not the platform's", "DELETE", f"/v1/sessions/{session}", 404, "allowed", token=root)
    walk.step("alice ends it", "DELETE", f"/v1/sessions/{session}", 204, "allowed", token=alice)
    walk.step_until("its token, still in date", "GET", LEADS, 401, "token_revoked", token=token, headers=ACME,
                    within=REVOKED_WITHIN, check=tells_nothing)
    walk.step("that it was ended is recorded", "GET", "/v1/sessions?user=bob", 200, "allowed", token=alice,
              check=lists_session(session, revoked=True))

    first, second = token_of(walk, "bob", "acme"), token_of(walk, "bob", "acme")
    walk.step("two sessions at a time are allowed", "GET", LEADS, 200, "allowed", token=first, headers=ACME)
    third = token_of(walk, "bob", "acme")
    walk.step_until("with a third, the oldest ends", "GET", LEADS, 401, "token_revoked", token=first, headers=ACME,
                    within=REVOKED_WITHIN)
    walk.step("the second goes on", "GET", LEADS, 200, "allowed", token=second, headers=ACME)
    walk.step("so does the third", "GET", LEADS, 200, "allowed", token=third, headers=ACME)
    walk.step("bob logs out there", "POST", "/v1/logout", 204, "allowed", token=third)
    walk.step_until("and is out", "GET", LEADS, 401, "token_revoked", token=third, headers=ACME, within=REVOKED_WITHIN)
