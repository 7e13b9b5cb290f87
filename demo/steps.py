"""The walk itself: what a user, an attacker and an operator would do, in order."""

from __future__ import annotations

import time

from checks import (
    both,
    challenges_with,
    did_not_see,
    lists_session,
    saw_identity,
    saw_no_identity,
    saw_none_of,
    show_challenge,
    show_identity,
)
from forge import claims_of, key_id_of, signed_with_public_key, unsigned, with_claims
from hints import Hint
from processes import DemoError, wait_until
from walk import NOTICED_WITHIN, REVOKED_WITHIN, Walk

POST = "/blog/tenants/acme/posts/1"
GLOBEX_POST = "/blog/tenants/globex/posts/1"

HINTS = (
    Hint("bob", "GET", POST, "200: bob may read"),
    Hint("bob", "PUT", POST, "403: but not write"),
    Hint("carol", "PUT", POST, "200: carol is an editor"),
    Hint("carol", "GET", GLOBEX_POST, "403: not her tenant"),
    Hint(None, "GET", POST, "401: no token"),
    Hint(None, "GET", "/blog/health", "200: public; the header does not arrive", "-H 'x-user-id: root'"),
)


def run(walk: Walk) -> None:
    # First, so that it has long expired when its turn comes.
    short_lived = walk.log_in("carol", "acme", lifetime=1)["access_token"]
    signing_in(walk)
    reading_and_writing(walk)
    bad_tokens(walk, short_lived)
    tenants_and_realms(walk)
    tricks(walk)
    sessions(walk)
    refreshing(walk)
    policy_swap(walk)
    key_rotation(walk)
    without_sidecar(walk)


def signing_in(walk: Walk) -> None:
    walk.table.section("Logging in, through Envoy like everything else")
    right = walk.credentials("alice", "acme")
    walk.step("alice logs in to acme", "POST", "/v1/login", 200, "public", body=right)
    walk.step("a wrong password", "POST", "/v1/login", 401, "public", body={**right, "password": "guess"})
    walk.step("eve has no membership in acme", "POST", "/v1/login", 403, "public", body=walk.credentials("eve", "acme"))


def reading_and_writing(walk: Walk) -> None:
    walk.table.section("Reading and writing: what the role allows")
    bob = walk.log_in("bob", "acme")["access_token"]
    carol = walk.log_in("carol", "acme")["access_token"]
    walk.step("bob (viewer) reads a post", "GET", POST, 200, "allowed", token=bob,
              check=saw_identity(user_id="bob", tenant_id="acme", user_roles="viewer"), note=show_identity)
    walk.step("bob (viewer) changes it", "PUT", POST, 403, "permission_missing", token=bob)
    walk.step("bob comments: his token's own permission", "POST", POST + "/comments", 200, "allowed", token=bob)
    walk.step("carol (editor) changes it", "PUT", POST, 200, "allowed", token=carol,
              check=saw_identity(user_id="carol", tenant_id="acme", user_roles="editor"))
    walk.step("a method that the route does not list", "PATCH", POST, 403, "method_not_allowed", token=carol)
    walk.step("a path that no route names", "GET", "/blog/drafts", 403, "route_not_found", token=carol)
    walk.step("the operator API, from outside", "POST", "/v1/admin/keys/rotate", 403, "route_not_found", token=carol)
    walk.step("a public route, no token", "GET", "/blog/health", 200, "public", check=saw_no_identity)
    walk.step("an optional route, no token", "GET", "/blog/feed", 200, "anonymous", check=saw_no_identity)
    walk.step("an optional route, bob's token", "GET", "/blog/feed", 200, "allowed", token=bob,
              check=saw_identity(user_id="bob"))
    walk.step("an optional route, a bad token", "GET", "/blog/feed", 401, "signature_invalid",
              token=with_claims(bob, sub="root"))


def bad_tokens(walk: Walk, short_lived: str) -> None:
    walk.table.section("Tokens that are none")
    carol = walk.log_in("carol", "acme")["access_token"]
    jwk = walk.identity.request("GET", "/.well-known/jwks.json").json()["keys"][0]
    walk.step("no token", "GET", POST, 401, "credential_missing", check=challenges_with("Bearer"), note=show_challenge)
    walk.step("not a token", "GET", POST, 401, "token_malformed", token="garbage",
              check=challenges_with("Bearer"), note=show_challenge)
    invalid_request = challenges_with('Bearer realm="service", error="invalid_request"')
    walk.step("a password instead (Basic)", "GET", POST, 401, "credential_malformed",
              headers=[("authorization", "Basic Y2Fyb2w6Y2Fyb2w=")], check=invalid_request, note=show_challenge)
    walk.step("two tokens", "GET", POST, 401, "credential_repeated",
              headers=[("authorization", f"Bearer {carol}"), ("authorization", f"Bearer {carol}")], check=invalid_request)
    # The sidecar allows a second of difference between clocks.
    wait_until(lambda: time.time() > claims_of(short_lived)["exp"] + 2, "a token to expire", timeout=10)
    walk.step("an expired token", "PUT", POST, 401, "token_expired", token=short_lived)
    walk.step("forged: another user, the old signature", "PUT", POST, 401, "signature_invalid",
              token=with_claims(carol, sub="alice", roles=["admin"]))
    walk.step("forged: alg none, no signature", "PUT", POST, 401, "algorithm_not_allowed",
              token=unsigned(carol, sub="alice"))
    walk.step("forged: alg none, the old signature", "PUT", POST, 401, "algorithm_not_allowed",
              token=unsigned(carol, sub="alice") + carol.split(".")[2])
    walk.step("forged: HS256 with the public key", "PUT", POST, 401, "algorithm_not_allowed",
              token=signed_with_public_key(carol, jwk, sub="alice"))
    walk.step("forged: an issuer of one's own", "PUT", POST, 401, "issuer_unknown",
              token=with_claims(carol, iss="https://id.evil.example"))


def tenants_and_realms(walk: Walk) -> None:
    walk.table.section("Tenants, what they paid for, and the platform's own people")
    eve = walk.log_in("eve", "globex")["access_token"]
    alice_at_acme = walk.log_in("alice", "acme")["access_token"]
    alice_at_globex = walk.log_in("alice", "globex")["access_token"]
    root = walk.log_in("root", None)["access_token"]
    walk.step("eve (globex) reads acme's post", "GET", POST, 403, "tenant_mismatch", token=eve)
    walk.step("alice is admin at acme ...", "DELETE", POST, 200, "allowed", token=alice_at_acme)
    walk.step("... which says nothing at globex", "GET", GLOBEX_POST, 403, "tenant_mismatch", token=alice_at_acme)
    walk.step("with a token for globex she reads there ...", "GET", GLOBEX_POST, 200, "allowed", token=alice_at_globex,
              check=saw_identity(user_id="alice", tenant_id="globex", user_roles="viewer"))
    walk.step("... as a viewer only", "DELETE", GLOBEX_POST, 403, "permission_missing", token=alice_at_globex)
    walk.step("globex has the chatbot", "GET", "/chatbot/tenants/globex/slots", 200, "allowed", token=eve)
    walk.step("acme has not paid for it", "GET", "/chatbot/tenants/acme/slots", 403, "service_not_entitled",
              token=alice_at_acme)
    walk.step("a tenant's admin on a system route", "GET", "/blog/system/usage", 403, "realm_mismatch", token=alice_at_acme)
    walk.step("root (platform) on a system route", "GET", "/blog/system/usage", 200, "allowed", token=root,
              check=saw_identity(user_id="root"), note=show_identity)
    walk.step("root on a tenant's route", "GET", POST, 403, "realm_mismatch", token=root)


def tricks(walk: Walk) -> None:
    walk.table.section("Tricks")
    bob = walk.log_in("bob", "acme")["access_token"]
    spoofed = [("x-user-id", "root"), ("x-tenant-id", "globex"), ("x-user-roles", "admin"), ("x-user-permissions", "*"),
               ("x-user-scope", "system"), ("X-User-Id", "root")]
    walk.step("identity headers of one's own", "GET", POST, 200, "allowed", token=bob, headers=spoofed,
              check=both(saw_identity(user_id="bob", tenant_id="acme", user_roles="viewer"), saw_none_of(spoofed)), note=show_identity)
    walk.step("the same on a public route", "GET", "/blog/health", 200, "public", headers=spoofed,
              check=saw_no_identity, note=show_identity)
    walk.step("a header that names another method", "GET", POST, 200, "allowed", token=bob,
              headers=[("x-http-method-override", "DELETE")], check=did_not_see("x-http-method-override"))
    walk.step("spelled x_user_id", "GET", "/blog/health", 400, "envoy:http1.unexpected_underscore",
              headers=[("x_user_id", "root")])
    walk.step("an encoded slash", "GET", "/blog/tenants/acme%2f..%2fglobex/posts/1", 400, "envoy:path_normalization_failed",
              token=bob)
    walk.step("encoded dots: judged as what they mean", "GET", "/blog/tenants/acme/%2e%2e/globex/posts/1", 403,
              "tenant_mismatch", token=bob)
    walk.step("double slashes: the same", "GET", "/blog//tenants//globex/posts/1", 403, "tenant_mismatch", token=bob)
    walk.step("a path parameter (;)", "GET", "/blog/tenants/acme;globex/posts/1", 400, "path_not_canonical", token=bob)
    walk.step("bytes that are no UTF-8", "GET", "/blog/tenants/acme/posts/%c0%af", 400, "path_not_canonical", token=bob)
    walk.step("another host name", "GET", POST, 404, "envoy:route_not_found", token=bob, headers=[("host", "evil.example")])


def sessions(walk: Walk) -> None:
    walk.table.section("Sessions")
    laptop = walk.log_in("bob", "acme", device="laptop")["access_token"]
    phone = walk.log_in("bob", "acme", device="phone")
    alice = walk.log_in("alice", "acme")["access_token"]
    session = phone["session_id"]
    walk.step("alice (admin) lists bob's sessions", "GET", "/v1/sessions?user=bob", 200, "allowed", token=alice,
              check=lists_session(session, user="bob", device="phone", revoked=False))
    walk.step("bob reads on his phone", "GET", POST, 200, "allowed", token=phone["access_token"])
    walk.step("alice revokes the phone", "DELETE", f"/v1/sessions/{session}", 204, "allowed", token=alice)
    walk.step_until("the phone's token, still in date", "GET", POST, 401, "token_revoked", token=phone["access_token"],
                    within=REVOKED_WITHIN)
    walk.step("bob's laptop goes on", "GET", POST, 200, "allowed", token=laptop)
    walk.step("bob logs out there", "POST", "/v1/logout", 204, "allowed", token=laptop)
    walk.step_until("the laptop's token", "GET", POST, 401, "token_revoked", token=laptop, within=REVOKED_WITHIN)


def refreshing(walk: Walk) -> None:
    walk.table.section("Refresh tokens: each is good for one use")
    first = walk.log_in("carol", "acme")
    used = {"refresh_token": first["refresh_token"]}
    renewed = walk.step("carol refreshes", "POST", "/v1/token", 200, "public", body=used).json()
    token = str(renewed.get("access_token", ""))
    walk.step("the new token", "GET", POST, 200, "allowed", token=token)
    walk.step("the used refresh token again: a thief?", "POST", "/v1/token", 401, "public", body=used)
    walk.step_until("so the whole session ends", "GET", POST, 401, "token_revoked", token=token, within=REVOKED_WITHIN)


def policy_swap(walk: Walk) -> None:
    walk.table.section("The policy changes while everything runs")
    carol = walk.log_in("carol", "acme")["access_token"]
    walk.step("carol (editor) changes a post", "PUT", POST, 200, "allowed", token=carol)
    original = walk.change_policy('editor: { permissions: ["blog:posts.*"', 'editor: { permissions: ["blog:posts.read"')
    walk.step_until("editors lose blog:posts.update", "PUT", POST, 403, "permission_missing", token=carol,
                    within=NOTICED_WITHIN)
    walk.write_policy(original)
    walk.step_until("it is given back", "PUT", POST, 200, "allowed", token=carol, within=NOTICED_WITHIN)
    walk.write_policy("routes: [ this is no configuration\n")
    # What it answers before it has noticed would prove nothing.
    walk.wait_for_load(successful=False)
    walk.step("a broken file: the last good one stays", "PUT", POST, 200, "allowed", token=carol)
    walk.step("... with what it forbids", "PUT", GLOBEX_POST, 403, "tenant_mismatch", token=carol)
    walk.write_policy(original)
    walk.wait_for_load(successful=True)


def key_rotation(walk: Walk) -> None:
    walk.table.section("The signing key is rotated")
    old = walk.log_in("carol", "acme")["access_token"]
    walk.operator_step("the operator makes a new key", "POST", "/v1/admin/keys/rotate", 200)
    new = walk.log_in("carol", "acme")["access_token"]
    if key_id_of(old) == key_id_of(new):
        raise DemoError(f"the identity service still signs with key {key_id_of(old)} after its rotation")
    walk.step_until("a token of the new key", "PUT", POST, 200, "allowed", token=new, within=NOTICED_WITHIN)
    walk.step("a token of the old key", "PUT", POST, 200, "allowed", token=old)
    walk.operator_step("the operator removes the old key", "DELETE", f"/v1/admin/keys/{key_id_of(old)}", 204)
    walk.step_until("a token of the old key", "PUT", POST, 401, "key_unknown", token=old, within=NOTICED_WITHIN)
    walk.step("a token of the new key", "PUT", POST, 200, "allowed", token=new)


def without_sidecar(walk: Walk) -> None:
    walk.table.section("The sidecar is gone: nothing passes, not even what is public")
    carol = walk.log_in("carol", "acme")["access_token"]
    walk.stack.stop_sidecar()
    walk.step("carol reads a post", "GET", POST, 503, "envoy:ext_authz_error", token=carol)
    walk.step("a public route", "GET", "/blog/health", 503, "envoy:ext_authz_error")
    walk.stack.start_sidecar()
    walk.step_until("the sidecar is back", "GET", POST, 200, "allowed", token=carol, within=NOTICED_WITHIN)
