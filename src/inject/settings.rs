//! What can be chosen about the sidecar of a pod: by a flag for all pods, by an annotation for one.

use std::collections::{BTreeMap, BTreeSet};

use tracing_subscriber::EnvFilter;

use super::{CONTAINER, INJECT_LABEL, PREFIX, Refusal, STATUS_ANNOTATION, quantity};

/// One thing that can be chosen. The flag is called as the annotation is, without its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The ConfigMap with the configuration, in the namespace of the pod.
    ConfigMap,
    /// A Secret with what the configuration names as files: tokens, certificates, keys.
    Secret,
    /// How much the sidecar may keep for its next start (`warm_start`).
    State,
    /// The image of the sidecar.
    Image,
    /// Whether the sidecar is a native one (an init container that goes on running) or a plain container.
    NativeSidecar,
    /// The containers that get the socket.
    ProxyContainers,
    /// The CPU that is set aside.
    CpuRequest,
    /// The memory that is set aside.
    MemoryRequest,
    /// The CPU that it may take at most.
    CpuLimit,
    /// The memory that it may take at most.
    MemoryLimit,
    /// What is logged (`portcullis run --log`).
    Log,
    /// How it is logged (`portcullis run --log-format`).
    LogFormat,
    /// The port of the admin listener.
    AdminPort,
}

impl Setting {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 13] = [
        Self::ConfigMap,
        Self::Secret,
        Self::State,
        Self::Image,
        Self::NativeSidecar,
        Self::ProxyContainers,
        Self::CpuRequest,
        Self::MemoryRequest,
        Self::CpuLimit,
        Self::MemoryLimit,
        Self::Log,
        Self::LogFormat,
        Self::AdminPort,
    ];

    /// Its name: the flag without `--`, the annotation without the prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "config-map",
            Self::Secret => "secret",
            Self::State => "state",
            Self::Image => "image",
            Self::NativeSidecar => "native-sidecar",
            Self::ProxyContainers => "proxy-containers",
            Self::CpuRequest => "cpu-request",
            Self::MemoryRequest => "memory-request",
            Self::CpuLimit => "cpu-limit",
            Self::MemoryLimit => "memory-limit",
            Self::Log => "log",
            Self::LogFormat => "log-format",
            Self::AdminPort => "admin-port",
        }
    }

    /// The setting of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// The names of all of them.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The annotation that chooses it for one pod.
    #[must_use]
    pub fn annotation(self) -> String {
        format!("{PREFIX}{}", self.name())
    }
}

/// How the sidecar of a pod is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The image.
    pub image: String,
    /// The ConfigMap with the configuration, in the namespace of the pod.
    pub config_map: String,
    /// The Secret that is mounted, if there is one, in the namespace of the pod.
    pub secret: Option<String>,
    /// The size of the volume for what the sidecar keeps, if there is one.
    pub state: Option<String>,
    /// An init container that goes on running (`true`), or a plain container.
    pub native_sidecar: bool,
    /// The names of the containers that get the socket.
    pub proxy_containers: Vec<String>,
    /// A quantity of CPU.
    pub cpu_request: String,
    /// A quantity of memory.
    pub memory_request: String,
    /// A quantity of CPU, if there is a limit.
    pub cpu_limit: Option<String>,
    /// A quantity of memory, if there is a limit.
    pub memory_limit: Option<String>,
    /// The log filter, if not the sidecar's own default.
    pub log: Option<String>,
    /// `json` or `text`.
    pub log_format: String,
    /// The port of the admin listener: where probes ask, and what is declared. The configuration has to say the same.
    pub admin_port: u16,
    /// What the annotations of a pod cannot choose.
    pub fixed: BTreeSet<Setting>,
    /// Whether the pod itself named its proxies, so that a name that is not there is worth a word.
    pub(super) proxies_named: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: format!("portcullis:{}", env!("CARGO_PKG_VERSION")),
            config_map: "portcullis".into(),
            secret: None,
            state: None,
            native_sidecar: true,
            proxy_containers: vec!["envoy".into(), super::istio::PROXY.into()],
            cpu_request: "50m".into(),
            memory_request: "64Mi".into(),
            cpu_limit: None,
            memory_limit: Some("256Mi".into()),
            log: None,
            log_format: "json".into(),
            admin_port: DEFAULT_ADMIN_PORT,
            fixed: BTreeSet::new(),
            proxies_named: false,
        }
    }
}

/// Where the admin listener is unless the configuration says otherwise.
pub(super) const DEFAULT_ADMIN_PORT: u16 = 9193;

impl Settings {
    /// The value of a setting, as [`Settings::set`] takes it.
    #[must_use]
    pub fn get(&self, setting: Setting) -> String {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        match setting {
            Setting::ConfigMap => self.config_map.clone(),
            Setting::Secret => or_none(&self.secret),
            Setting::State => or_none(&self.state),
            Setting::Image => self.image.clone(),
            Setting::NativeSidecar => self.native_sidecar.to_string(),
            Setting::ProxyContainers => self.proxy_containers.join(","),
            Setting::CpuRequest => self.cpu_request.clone(),
            Setting::MemoryRequest => self.memory_request.clone(),
            Setting::CpuLimit => or_none(&self.cpu_limit),
            Setting::MemoryLimit => or_none(&self.memory_limit),
            Setting::Log => self.log.clone().unwrap_or_else(|| "info".into()),
            Setting::LogFormat => self.log_format.clone(),
            Setting::AdminPort => self.admin_port.to_string(),
        }
    }

    /// Sets one of them from text, a flag's or an annotation's.
    ///
    /// # Errors
    /// A sentence that says what the text is not, and what it has to be.
    pub fn set(&mut self, setting: Setting, text: &str) -> Result<(), String> {
        match setting {
            Setting::ConfigMap => {
                let named = is_name(text, 253, true);
                self.config_map = named.ok_or(format!("'{text}' is no name of a ConfigMap: small letters, digits, '-' and '.'"))?;
            }
            Setting::Secret => {
                let named = |text: &str| is_name(text, 253, true).ok_or(format!("'{text}' is no name of a Secret, and not 'none'"));
                self.secret = or_none(text, named)?;
            }
            Setting::State => {
                let size = |text: &str| match quantity::parse(text) {
                    Some(_) => Ok(text.to_string()),
                    None => Err(format!("'{text}' is no size, such as '64Mi', and not 'none'")),
                };
                self.state = or_none(text, size)?;
            }
            Setting::Image => {
                self.image = image(text).ok_or(format!("'{text}' is no name of an image, such as 'registry.example/portcullis:0.1.0'"))?;
            }
            Setting::NativeSidecar => {
                self.native_sidecar = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err(format!("'{text}' must be 'true' or 'false'")),
                };
            }
            Setting::ProxyContainers => self.proxy_containers = proxies(text)?,
            Setting::CpuRequest => self.cpu_request = amount(text, "CPU, such as '50m' or '0.5'")?,
            Setting::MemoryRequest => self.memory_request = amount(text, "memory, such as '64Mi'")?,
            Setting::CpuLimit => self.cpu_limit = limit(text, "CPU, such as '500m' or '1', and not 'none'")?,
            Setting::MemoryLimit => self.memory_limit = limit(text, "memory, such as '256Mi', and not 'none'")?,
            Setting::Log => {
                EnvFilter::try_new(text).map_err(|error| format!("'{text}' is no log filter, such as 'info' or 'warn': {error}"))?;
                if text.trim().is_empty() {
                    return Err("this log filter is empty; write one such as 'info' or 'warn'".into());
                }
                self.log = Some(text.into());
            }
            Setting::LogFormat => match text {
                "json" | "text" => self.log_format = text.into(),
                _ => return Err(format!("'{text}' must be 'json' or 'text'")),
            },
            Setting::AdminPort => {
                let port = text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+'));
                self.admin_port = port.ok_or(format!("'{text}' is no port: a whole number from 1 to 65535"))?;
            }
        }
        Ok(())
    }

    /// Whether the settings fit together: Kubernetes takes no request above its limit.
    ///
    /// # Errors
    /// A sentence that names both.
    pub fn check(&self) -> Result<(), String> {
        for (what, request, limit) in [("cpu", &self.cpu_request, &self.cpu_limit), ("memory", &self.memory_request, &self.memory_limit)] {
            let Some(limit) = limit else { continue };
            if quantity::parse(request) > quantity::parse(limit) {
                return Err(format!(
                    "'{what}-request' ({request}) is more than '{what}-limit' ({limit}); lower the one or raise the other"
                ));
            }
        }
        Ok(())
    }

    /// These settings with what the annotations of a pod choose.
    pub(super) fn with_annotations(&self, annotations: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let mut settings = self.clone();
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if key == STATUS_ANNOTATION {
                continue;
            }
            let Some(setting) = Setting::named(name) else { return Err(Refusal::new(unknown(key))) };
            if self.fixed.contains(&setting) && self.get(setting) != *value {
                let fixed = self.get(setting);
                return Err(Refusal::new(format!(
                    "annotation '{key}': a pod cannot choose this here, where it is '{fixed}'; take the annotation away"
                )));
            }
            settings.set(setting, value).map_err(|message| Refusal::new(format!("annotation '{key}': {message}")))?;
            settings.proxies_named |= setting == Setting::ProxyContainers;
        }
        settings.check().map_err(|message| Refusal::new(format!("annotations of {PREFIX}: {message}")))?;
        Ok(settings)
    }
}

/// What is said of an annotation with our prefix that is none of ours.
fn unknown(key: &str) -> String {
    if key == INJECT_LABEL {
        return format!("'{key}' is an annotation here and has to be a label; selectors see no annotations");
    }
    format!("there is no annotation '{key}'; after '{PREFIX}' there can be {}", Setting::names())
}

/// The text, if it is a name as Kubernetes takes it (RFC 1123): a label, or labels with dots between them.
fn is_name(text: &str, longest: usize, with_dots: bool) -> Option<String> {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        label.bytes().all(|byte| inner(byte) || byte == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().next_back().is_some_and(inner)
    };
    let good = text.len() <= longest && if with_dots { text.split('.').all(is_label) } else { is_label(text) };
    good.then(|| text.to_string())
}

/// The text, if it may be the name of an image. The registry has the last word; this keeps out what can be none.
fn image(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let good = text.len() <= 512 && text.bytes().all(allowed) && edge(text.bytes().next()) && edge(text.bytes().next_back());
    good.then(|| text.to_string())
}

fn proxies(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let name = is_name(name, 63, false).ok_or(format!("'{name}' is no name of a container; write names with ',' between them"))?;
        if name == CONTAINER {
            return Err(format!("'{CONTAINER}' is the sidecar itself; name the containers that ask it, such as 'envoy'"));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn amount(text: &str, what: &str) -> Result<String, String> {
    quantity::parse(text).map(|_| text.to_string()).ok_or(format!("'{text}' is no quantity of {what}"))
}

/// What the text says; `none` says that there is none.
fn or_none(text: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Option<String>, String> {
    if text == "none" { Ok(None) } else { read(text).map(Some) }
}

fn limit(text: &str, what: &str) -> Result<Option<String>, String> {
    or_none(text, |text| amount(text, what))
}
