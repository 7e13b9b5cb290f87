//! How sidecars are made where a pod's annotations do not say otherwise: the flags of `inject` and `webhook`.

use clap::Args;

use crate::inject::{Setting, Settings};

/// A flag's text, if the setting takes it.
fn accepted(setting: Setting) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| Settings::default().set(setting, text).map(|()| text.to_string())
}

/// One flag for each annotation, of the same name. What a pod's annotation says wins.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "For pods whose annotations do not say otherwise")]
pub(in crate::cli) struct Defaults {
    /// The ConfigMap with the configuration, in the namespace of the pod [default: portcullis].
    #[arg(long, value_name = "NAME", value_parser = accepted(Setting::ConfigMap))]
    config_map: Option<String>,
    /// A Secret with the files that the configuration names, at /etc/portcullis-secret, or 'none' [default: none].
    #[arg(long, value_name = "NAME", value_parser = accepted(Setting::Secret))]
    secret: Option<String>,
    /// How much it may keep for its next start ('warm_start'), at /var/lib/portcullis, or 'none' [default: none].
    #[arg(long, value_name = "QUANTITY", value_parser = accepted(Setting::State))]
    state: Option<String>,
    /// The image of the sidecar [default: portcullis:VERSION].
    #[arg(long, value_name = "IMAGE", value_parser = accepted(Setting::Image))]
    image: Option<String>,
    /// A native sidecar ('true'), or a plain container before the others ('false') [default: true].
    #[arg(long, value_name = "BOOL", value_parser = accepted(Setting::NativeSidecar))]
    native_sidecar: Option<String>,
    /// The containers that get the socket, with ',' between them [default: envoy,istio-proxy].
    #[arg(long, value_name = "NAMES", value_parser = accepted(Setting::ProxyContainers))]
    proxy_containers: Option<String>,
    /// CPU that is set aside [default: 50m].
    #[arg(long, value_name = "QUANTITY", value_parser = accepted(Setting::CpuRequest))]
    cpu_request: Option<String>,
    /// Memory that is set aside [default: 64Mi].
    #[arg(long, value_name = "QUANTITY", value_parser = accepted(Setting::MemoryRequest))]
    memory_request: Option<String>,
    /// CPU that it may take at most, or 'none' [default: none].
    #[arg(long, value_name = "QUANTITY", value_parser = accepted(Setting::CpuLimit))]
    cpu_limit: Option<String>,
    /// Memory that it may take at most, or 'none' [default: 256Mi].
    #[arg(long, value_name = "QUANTITY", value_parser = accepted(Setting::MemoryLimit))]
    memory_limit: Option<String>,
    /// What the sidecar logs [default: info].
    #[arg(long, value_name = "FILTER", value_parser = accepted(Setting::Log))]
    log: Option<String>,
    /// How it is logged, 'json' or 'text' [default: json].
    #[arg(long, value_name = "FORMAT", value_parser = accepted(Setting::LogFormat))]
    log_format: Option<String>,
    /// The port of the admin listener, as the configuration says it [default: 9193].
    #[arg(long, value_name = "PORT", value_parser = accepted(Setting::AdminPort))]
    admin_port: Option<String>,
    /// What annotations cannot choose, with ',' between them, such as 'image,config-map': a pod that tries is refused.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = setting)]
    fixed: Vec<Setting>,
}

fn setting(name: &str) -> Result<Setting, String> {
    Setting::named(name).ok_or_else(|| format!("there is no setting '{name}'; there are {}", Setting::names()))
}

impl Defaults {
    /// The settings that the flags make; an error if they do not fit together.
    pub(in crate::cli) fn settings(&self) -> Result<Settings, String> {
        let Self {
            config_map,
            secret,
            state,
            image,
            native_sidecar,
            proxy_containers,
            cpu_request,
            memory_request,
            cpu_limit,
            memory_limit,
            log,
            log_format,
            admin_port,
            fixed,
        } = self;
        let mut settings = Settings::default();
        settings.fixed.extend(fixed);
        for (setting, text) in [
            (Setting::ConfigMap, config_map),
            (Setting::Secret, secret),
            (Setting::State, state),
            (Setting::Image, image),
            (Setting::NativeSidecar, native_sidecar),
            (Setting::ProxyContainers, proxy_containers),
            (Setting::CpuRequest, cpu_request),
            (Setting::MemoryRequest, memory_request),
            (Setting::CpuLimit, cpu_limit),
            (Setting::MemoryLimit, memory_limit),
            (Setting::Log, log),
            (Setting::LogFormat, log_format),
            (Setting::AdminPort, admin_port),
        ] {
            if let Some(text) = text {
                settings.set(setting, text)?;
            }
        }
        settings.check()?;
        Ok(settings)
    }
}
