use std::time::Duration;

use super::*;
use crate::pdp::path::NormalizedPath;
use crate::pdp::policy::TenantBinding;
use crate::pdp::policy::value::RequestValue;
use crate::pdp::policy::{Access, RoutePolicy};
use crate::pdp::request::Host;
use crate::pdp::revocation::RevocationKind;
use crate::pdp::tenant::Realm;
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::profile::{AcceptedTypes, KeyIdPolicy, SourceId, WhenStale};

const FULL: &str = r#"
listen:
  grpc: [unix:/run/portcullis/authz.sock, 127.0.0.1:9191]
  admin: 127.0.0.1:9193

challenge_realm: The Blog

issuers:
  manager:
    issuer: https://id.example.com
    audiences: [blog]
    algorithms: [RS256, PS256]
    jwks: { url: https://id.example.com/.well-known/jwks.json, refresh: 2m, max_stale: 12h, cooldown: 5s }
    revocations: { url: https://id.example.com/v1/revocations, wait: 20s, max_staleness: 90s, when_stale: fail_open }
    claims: { tenant: tenant_id, permissions: permissions, roles: [realm_access, roles], session: session, realm: scope, services: services }
    typ: [at+jwt, application/JWT]
    leeway: 5s
    require: [iat, jti, sid]
    max_lifetime: 1h
    max_token_bytes: 4096
    kid: optional
    wildcards: true
    tenants: [acme, globex]

permissions:
  syntax: "service:resource.action"
roles:
  editor: { permissions: ["blog:posts.*"] }
  support: { permissions: "*", crosses_tenants: true }
  nobody: { permissions: [] }

headers: { user: x-auth-user, keep: x-forwarded-host }

routes:
  - path: /tenants/{tenant}/posts/{id}
    realm: tenant
    tenant: { path: tenant }
    service: blog
    methods:
      GET:    { permission: "blog:posts.read" }
      PUT:    { permission: ["blog:posts.read", "blog:posts.update"] }
  - path: /login
    name: login
    hosts: [blog.example.com, "*.blog.example.com", "[::1]"]
    methods: { POST: { access: public }, GET: { access: optional } }
  - path: /chat
    upgrade: websocket
    tenant: token
    methods: { GET: { access: authenticated } }
"#;

fn route<'c>(configuration: &'c Configuration, host: &str, path: &str) -> &'c crate::pdp::policy::RoutePolicy {
    let host = Host::parse(host).unwrap();
    configuration.snapshot.routes.find(&host, &NormalizedPath::parse(path).unwrap()).unwrap().payload
}

/// What one method of a route needs.
fn access<'r>(route: &'r RoutePolicy, method: &str) -> Option<&'r Access> {
    route.rule(method).map(|rule| &rule.access)
}

#[test]
fn everything_that_can_be_said_arrives_in_the_snapshot() {
    let configuration = compile(FULL).unwrap();
    let issuer = configuration.snapshot.issuers.by_issuer("https://id.example.com").unwrap();
    assert_eq!(*issuer.name, *"manager");
    assert_eq!(issuer.algorithms, [Algorithm::Rs256, Algorithm::Ps256]);
    assert_eq!(issuer.types, AcceptedTypes::Listed(vec!["at+jwt".into(), "jwt".into()]));
    assert_eq!(issuer.key_id, KeyIdPolicy::Optional);
    assert_eq!((issuer.leeway, issuer.max_lifetime), (Duration::from_secs(5), Some(Duration::from_secs(3600))));
    assert_eq!((issuer.max_token_bytes, issuer.wildcards), (4096, true));
    assert!(issuer.required.issued_at && issuer.required.token_id && issuer.required.session && !issuer.required.tenant);
    assert_eq!(issuer.tenants.as_ref().unwrap().len(), 2);
    assert_eq!(issuer.claims.roles.as_ref().unwrap().0, ["realm_access", "roles"].map(Box::from));
    assert_eq!(issuer.claims.session.as_ref().unwrap().0, ["session"].map(Box::from));
    assert_eq!(issuer.revocations[0].when_stale, WhenStale::FailOpen);

    assert_eq!(*configuration.snapshot.challenge_realm, *"The Blog");
    let names: Vec<&str> = configuration.snapshot.route_names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["/tenants/{tenant}/posts/{id}", "login", "/chat"]);

    let posts = route(&configuration, "any", "/tenants/acme/posts/1");
    assert_eq!(
        (posts.realm, &posts.tenant, posts.service.as_deref()),
        (Some(Realm::Tenant), &TenantBinding::Request(RequestValue::Path(1)), Some("blog"))
    );
    assert!(!posts.websocket);
    let needed = &posts.rule("PUT").unwrap().all.permissions;
    assert_eq!(needed.iter().map(|permission| &**permission.name()).collect::<Vec<_>>(), ["blog:posts.read", "blog:posts.update"]);
    assert_eq!(access(posts, "DELETE"), None);

    let login = route(&configuration, "a.b.blog.example.com", "/login");
    assert_eq!((access(login, "POST"), access(login, "GET")), (Some(&Access::Public), Some(&Access::Optional)));
    assert_eq!(&*login.name, "login");
    assert!(configuration.snapshot.routes.find(&Host::parse("any").unwrap(), &NormalizedPath::parse("/login").unwrap()).is_none());

    let chat = route(&configuration, "any", "/chat");
    assert!(chat.websocket && chat.tenant == TenantBinding::Token && access(chat, "GET") == Some(&Access::Authenticated));
}

#[test]
fn sources_say_what_to_pull_from_where() {
    let configuration = compile(FULL).unwrap();
    let [keys, revocations] = configuration.sources.as_slice() else { panic!("two sources") };
    let issuer = configuration.snapshot.issuers.by_issuer("https://id.example.com").unwrap();
    assert_eq!((keys.id, revocations.id), (issuer.keys, issuer.revocations[0].source));
    let SourceFeed::Keys(keys) = &keys.feed else { panic!("keys come first") };
    assert_eq!(keys.location, JwksLocation::Url("https://id.example.com/.well-known/jwks.json".parse().unwrap()));
    assert_eq!((keys.refresh, keys.max_stale, keys.cooldown), (secs(120), secs(43_200), secs(5)));
    assert_eq!(keys.algorithms, [Algorithm::Rs256, Algorithm::Ps256]);
    let SourceFeed::Revocations(feed) = &revocations.feed else { panic!("revocations come second") };
    let RevocationOrigin::Feed(RevocationFeed { wait, .. }) = &feed.origin else { panic!("a feed") };
    assert_eq!((*wait, feed.max_staleness), (secs(20), secs(90)));
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let configuration = compile(&format!("{BASE}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    assert_eq!(configuration.listen, Listen::default());
    assert_eq!(
        configuration.listen.grpc.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["unix:/run/portcullis/authz.sock", "127.0.0.1:9191"]
    );
    assert_eq!(configuration.listen.admin.to_string(), "127.0.0.1:9193");
    assert_eq!(*configuration.snapshot.challenge_realm, *"service");
    let issuer = configuration.snapshot.issuers.by_issuer("https://id.example.com").unwrap();
    assert_eq!(issuer.algorithms, [Algorithm::Rs256]);
    assert_eq!((issuer.key_id, issuer.types.clone()), (KeyIdPolicy::Required, AcceptedTypes::AccessTokens));
    assert_eq!((issuer.leeway, issuer.max_lifetime, issuer.max_token_bytes), (secs(10), None, 8192));
    assert!(!issuer.wildcards && issuer.tenants.is_none() && issuer.revocations.is_empty());
    assert_eq!(issuer.claims.session.as_ref().unwrap().0, ["sid"].map(Box::from));
    let SourceFeed::Keys(keys) = &configuration.sources[0].feed else { panic!("keys") };
    assert_eq!((keys.refresh, keys.max_stale, keys.cooldown), (secs(300), secs(86_400), secs(10)));
    assert!(!route(&configuration, "h", "/").websocket);
}

#[test]
fn a_revocation_list_that_is_too_old_denies_by_default() {
    let text = BASE.replace("audiences: [blog]", "audiences: [blog]\n    revocations: { url: https://id.example.com/r }");
    let configuration = compile(&format!("{text}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    let issuer = configuration.snapshot.issuers.iter().next().unwrap();
    assert_eq!(issuer.revocations[0].when_stale, WhenStale::Deny);
    let SourceFeed::Revocations(feed) = &configuration.sources[1].feed else { panic!("revocations") };
    let RevocationOrigin::Feed(RevocationFeed { wait, .. }) = &feed.origin else { panic!("a feed") };
    assert_eq!((*wait, feed.max_staleness, feed.when_stale), (secs(30), secs(60), WhenStale::Deny));
}

#[test]
fn revocations_come_from_several_places_with_a_bound_each() {
    let revocations = "
    revocations:
      - { file: /etc/revoked.json, max_staleness: 1h }
      - { redis: 'redis://127.0.0.1', set: revoked }
      - redis: rediss://redis.example.com:6380/2
        set: [tokens, more-tokens]
        kind: jti
        scores: expires
        username: sidecar
        password_file: /run/redis.password
        must_exist: true
        refresh: 5s
        when_stale: fail_open
      - { redis: 'redis+unix:///run/redis.sock?db=1', stream: revocations, must_exist: true }";
    let text = BASE.replace("audiences: [blog]", &format!("audiences: [blog]{revocations}"));
    let configuration = compile(&format!("{text}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    let issuer = configuration.snapshot.issuers.iter().next().unwrap();
    let names: Vec<&str> = issuer.revocations.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["file", "redis", "redis-2", "redis-3"]);
    let sources: Vec<&RevocationSource> = configuration
        .sources
        .iter()
        .filter_map(|source| match &source.feed {
            SourceFeed::Revocations(revocations) => Some(revocations),
            _ => None,
        })
        .collect();
    let [file, plain, full, stream] = sources.as_slice() else { panic!("four sources") };
    assert_eq!((&file.origin, file.max_staleness), (&RevocationOrigin::File("/etc/revoked.json".into()), secs(3600)));
    let tcp = |host: &str, port, tls| RedisAddress::Tcp { host: host.into(), port, tls };
    let sets = |keys: &[&str], ids, scores| RedisData::Sets { keys: keys.iter().map(|key| Box::from(*key)).collect(), ids, scores };
    let wanted = RedisSource {
        address: tcp("127.0.0.1", 6379, false),
        database: 0,
        username: None,
        password_file: None,
        data: sets(&["revoked"], RevokedIds::Named, None),
        must_exist: false,
        refresh: secs(1),
    };
    assert_eq!((&plain.origin, plain.max_staleness), (&RevocationOrigin::Redis(wanted), secs(60)));
    let wanted = RedisSource {
        address: tcp("redis.example.com", 6380, true),
        database: 2,
        username: Some("sidecar".into()),
        password_file: Some("/run/redis.password".into()),
        data: sets(&["tokens", "more-tokens"], RevokedIds::Of(RevocationKind::Token), Some(RedisScores::Expires)),
        must_exist: true,
        refresh: secs(5),
    };
    assert_eq!((&full.origin, full.when_stale), (&RevocationOrigin::Redis(wanted), WhenStale::FailOpen));
    let RevocationOrigin::Redis(redis) = &stream.origin else { panic!("a Redis") };
    assert_eq!((redis.address.to_string().as_str(), redis.database), ("redis+unix:///run/redis.sock", 1));
    assert_eq!((&redis.data, redis.must_exist), (&RedisData::Stream("revocations".into()), true));
}

#[test]
fn only_public_routes_need_no_issuer() {
    let configuration = compile("routes: [{ path: /, methods: { GET: { access: public } } }]").unwrap();
    assert_eq!(configuration.snapshot.issuers.iter().count(), 0);
    assert!(configuration.sources.is_empty());
}

#[test]
fn a_key_set_can_be_a_file() {
    let text = BASE.replace("url: https://id.example.com/.well-known/jwks.json", "file: /etc/portcullis/jwks.json");
    let configuration = compile(&format!("{text}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    let SourceFeed::Keys(keys) = &configuration.sources[0].feed else { panic!("keys") };
    assert_eq!(keys.location, JwksLocation::File("/etc/portcullis/jwks.json".into()));
}

#[test]
fn keys_can_be_found_through_the_issuers_metadata_and_servers_be_reached_in_other_ways() {
    let text =
        BASE.replace("url: https://id.example.com/.well-known/jwks.json", "discovery: oauth, hosts: [KEYS.example.com, '[::1]:8443']");
    let text = text.replace(
        "audiences: [blog]",
        "audiences: [blog]\n    tls: { ca: /ca.pem, certificate: /tls.crt, key: /tls.key }\n    proxy: http://proxy:3128\n    revocations: { url: https://id.example.com/r }",
    );
    let directory = "directory: { url: https://d.example.com, proxy: none }";
    let routes = "routes: [{ path: /, methods: { GET: { access: authenticated } } }]";
    let configuration = compile(&format!("{text}{directory}\n{routes}")).unwrap();
    let [keys, revocations, directory] = configuration.sources.as_slice() else { panic!("three sources") };
    let SourceFeed::Keys(feed) = &keys.feed else { panic!("keys") };
    let discovery = Discovery {
        metadata: "https://id.example.com/.well-known/oauth-authorization-server".parse().unwrap(),
        issuer: "https://id.example.com".into(),
        hosts: vec!["keys.example.com".into(), "[::1]:8443".into()],
    };
    assert_eq!(feed.location, JwksLocation::Discovery(discovery));
    let transport = Transport {
        tls: TlsFiles { ca: Some("/ca.pem".into()), client: Some(("/tls.crt".into(), "/tls.key".into())) },
        proxy: ProxyChoice::Url(ProxyUrl::parse("http://proxy:3128").unwrap()),
    };
    assert_eq!((&keys.transport, &revocations.transport), (&transport, &transport));
    assert_eq!(directory.transport, Transport { proxy: ProxyChoice::None, ..Transport::default() });

    let usual = compile(&format!("{BASE}{routes}")).unwrap();
    assert_eq!(usual.sources[0].transport, Transport { tls: TlsFiles::default(), proxy: ProxyChoice::Environment });
}

#[test]
fn socket_addresses_may_be_written_as_urls() {
    let text = "listen: { grpc: 'unix:///run/a.sock', admin: '[::1]:9193' }\nroutes: [{ path: /, methods: { GET: { access: public } } }]";
    let listen = compile(text).unwrap().listen;
    assert_eq!(listen.grpc, [GrpcAddress::Unix("/run/a.sock".into())]);
    assert_eq!(listen.admin.to_string(), "[::1]:9193");
}

#[test]
fn proxies_that_ask_over_http_have_listeners_of_their_own() {
    let routes = "routes: [{ path: /, methods: { GET: { access: public } } }]";
    assert_eq!(compile(routes).unwrap().listen.http, []);
    let text = "listen:
  grpc: 127.0.0.1:0
  http:
    - { address: '127.0.0.1:0', dialect: nginx }
    - { address: '127.0.0.1:0', dialect: forward_auth, trusted_hops: 1, timeout: 200ms }
    - { address: 'unix:///run/http.sock', dialect: envoy, path_prefix: /authz/v1 }
";
    let listen = compile(&format!("{text}{routes}")).unwrap().listen;
    let any = || GrpcAddress::Tcp(([127, 0, 0, 1], 0).into());
    let second = Duration::from_secs(1);
    let expected = [
        HttpListener { address: any(), dialect: HttpDialect::Nginx, timeout: second },
        HttpListener { address: any(), dialect: HttpDialect::ForwardAuth { trusted_hops: 1 }, timeout: second / 5 },
        HttpListener {
            address: GrpcAddress::Unix("/run/http.sock".into()),
            dialect: HttpDialect::Envoy { path_prefix: "/authz/v1".into() },
            timeout: second,
        },
    ];
    assert_eq!(listen.http, expected);
}

#[test]
fn lists_and_maps_of_several_files_and_documents_add_up() {
    let files = [
        file("a.yaml", BASE),
        file("b.yaml", "# only a comment\n"),
        file(
            "c.yaml",
            "roles: { editor: { permissions: ['blog:posts.*'] } }\n---\nroles: { reader: { permissions: ['blog:posts.read'] } }\n",
        ),
        file("d.yaml", "routes: [{ path: /a, methods: { GET: { permission: 'blog:posts.read' } } }]"),
        file("e.yaml", "routes: [{ path: /b, methods: { GET: { access: public } } }]"),
    ];
    let configuration = Configuration::compile(&files).unwrap();
    let names: Vec<&str> = configuration.snapshot.route_names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["/a", "/b"]);
    let known = |name: &str| configuration.snapshot.roles.get(name).is_some();
    assert_eq!((known("editor"), known("reader"), known("owner")), (true, true, false));
}

#[test]
fn a_name_can_be_of_another_kind_of_yaml_scalar_when_it_is_quoted() {
    let text = BASE.replace("manager:", "'7':").replace("[blog]", "['1', 'true']");
    let configuration = compile(&format!("{text}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    assert_eq!(configuration.snapshot.issuers.iter().next().unwrap().audiences, ["1", "true"].map(Box::from));
}

#[test]
fn what_is_audited_in_a_group_is_audited_in_all_that_is_inside() {
    let text = "audit: { file: /var/log/audit.jsonl }
groups:
  - prefix: /admin
    audit: true
    routes: [{ path: '/users/{user}', methods: { GET: { access: public } } }]
    groups: [{ prefix: /deep, audit: true, routes: [{ methods: { GET: { access: public } } }] }]
routes:
  - { path: /alone, audit: true, methods: { GET: { access: public } } }
  - { path: /other, methods: { GET: { access: public } } }
";
    let configuration = compile(text).unwrap();
    let is_audited = |path| route(&configuration, "a", path).audit.is_some();
    assert_eq!(["/admin/users/bob", "/admin/deep", "/alone", "/other"].map(is_audited), [true, true, true, false]);
    assert_eq!(configuration.notices, []);
    let settings = configuration.audit.unwrap();
    assert_eq!((settings.file, settings.key_file), ("/var/log/audit.jsonl".into(), None));
    assert_eq!((settings.when_unwritable, settings.max_queue), (WhenUnwritable::Deny, 1024));
    assert_eq!((settings.deadline, settings.sync), (Duration::from_millis(50), false));
}

#[test]
fn a_permission_set_that_no_role_has_is_worth_a_notice() {
    let text = "permissions: { syntax: 'a:b', sets: { z: ['x:y'], used: ['x:y'], a: [] } }
roles: { r: { sets: [used] } }
routes: [{ path: /, methods: { GET: { access: public } } }]";
    let notices: Vec<String> = compile(text).unwrap().notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "c.yaml:1:39: permissions.sets.z: no role has the permission set 'z', so it grants nothing",
            "c.yaml:1:66: permissions.sets.a: no role has the permission set 'a', so it grants nothing",
        ]
    );
}

#[test]
fn a_trail_in_which_nothing_is_recorded_is_worth_a_notice() {
    let text = "audit: { file: /a, key_file: /k, when_unwritable: continue, max_queue: 8, deadline: 2ms, sync: true }
routes: [{ path: /, methods: { GET: { access: public } } }]";
    let configuration = compile(text).unwrap();
    let notice = configuration.notices[0].to_string();
    assert_eq!(notice, "c.yaml:1:8: audit: nothing is recorded: no route and no group says 'audit: true'");
    let settings = configuration.audit.unwrap();
    assert_eq!((settings.when_unwritable, settings.max_queue, settings.sync), (WhenUnwritable::Continue, 8, true));
    assert_eq!((settings.key_file, settings.deadline), (Some("/k".into()), Duration::from_millis(2)));
}

#[test]
fn a_status_list_is_believed_by_the_keys_and_rules_of_its_issuer() {
    let lists = "revocations: [{ url: https://id.example.com/r }, { status_list: https://id.example.com/Lists/1, refresh: 10s, \
                 max_staleness: 90s, when_stale: fail_open }, { status_list: https://cdn.example.com }]\n    require: [status]";
    let text = BASE.replace("audiences: [blog]", &format!("audiences: [blog]\n    {lists}"));
    let configuration = compile(&format!("{text}routes: [{{ path: /, methods: {{ GET: {{ access: authenticated }} }} }}]")).unwrap();
    let issuer = configuration.snapshot.issuers.iter().next().unwrap();
    let names: Vec<&str> = issuer.revocations.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["feed", "status_list", "status_list-2"]);
    // What tokens have to say is what is written, not what a URL parser makes of it.
    let lists: Vec<(&str, SourceId)> = issuer.status_lists.iter().map(|list| (&*list.uri, list.source)).collect();
    let [_, first, second] = &*issuer.revocations else { panic!("three sources") };
    assert_eq!(lists, [("https://id.example.com/Lists/1", first.source), ("https://cdn.example.com", second.source)]);
    assert!(issuer.required.status);
    let feeds: Vec<&StatusListFeed> = configuration
        .sources
        .iter()
        .filter_map(|source| if let SourceFeed::StatusList(feed) = &source.feed { Some(feed) } else { None })
        .collect();
    let [first, second] = feeds.as_slice() else { panic!("two lists") };
    assert_eq!((first.source.refresh, first.source.max_staleness, first.source.when_stale), (secs(10), secs(90), WhenStale::FailOpen));
    assert_eq!((second.source.refresh, second.source.max_staleness, second.source.when_stale), (secs(60), secs(300), WhenStale::Deny));
    assert_eq!((first.keys, &*first.rules.issuer, &*first.rules.uri), (issuer.keys, &*issuer.issuer, "https://id.example.com/Lists/1"));
    assert_eq!((&first.rules.algorithms, first.rules.key_id, first.rules.leeway), (&issuer.algorithms, issuer.key_id, issuer.leeway));
}

#[test]
fn what_was_pulled_is_kept_where_that_is_said() {
    let routes = "routes: [{ path: /, methods: { GET: { access: public } } }]";
    assert_eq!(compile(routes).unwrap().warm_start, None);
    let settings = compile(&format!("warm_start: {{ directory: /var/lib/portcullis }}\n{routes}")).unwrap().warm_start.unwrap();
    assert_eq!(settings.directory, std::path::Path::new("/var/lib/portcullis"));
}
