//! `httpGet`: healthy when a GET request is answered with a status from 200 to 399.
//!
//! As the kubelet has it: certificates are not checked, proxies are ignored, every check has a connection
//! of its own, and up to ten redirects are followed as long as they stay on the host that was asked. An
//! answer that redirects elsewhere is a success with a warning. No answer is a failure.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitald_core::async_trait;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::wording::{LOCALHOST, connect_failure, excerpt, unanswered};
use vitald_net::connection::{NoConnection, addresses};
use vitald_net::{causes, tls};

/// Healthy when a GET request is answered with a status from 200 to 399.
///
/// Up to ten redirects are followed on the host that was asked; one to another host is a success with a warning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGetSpec {
    /// Path to ask for, with a query if need be. Defaults to `/`.
    #[serde(default = "root")]
    pub path: String,
    /// Port to ask: a number from 1 to 65535, or the name of one of the component's ports.
    pub port: PortRef,
    /// Host name or IP address. Defaults to `localhost`, tried on ::1 and 127.0.0.1. To ask for a virtual
    /// host, set the `Host` header instead.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
    /// `HTTP` or `HTTPS`, the latter without a check of the certificate. Defaults to `HTTP`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Headers to send; a name may be repeated. `User-Agent: kube-probe/…` and `Accept: */*` are sent
    /// unless given here. With an empty value, `User-Agent` is left out, and `Accept` is sent empty. All of them go
    /// along where a redirect is followed, to another port of the same host, too, as the kubelet does it.
    #[serde(default)]
    pub http_headers: Vec<HttpHeader>,
}

/// How to talk to the server.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS; any certificate will do.
    Https,
}

/// One header of the request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpHeader {
    /// Its name; case does not matter.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its value. Defaults to the empty string.
    #[serde(default)]
    pub value: String,
}

fn root() -> String {
    "/".to_owned()
}

fn localhost() -> String {
    "localhost".to_owned()
}

/// Sends the request of an [`HttpGetSpec`].
pub struct HttpGetProbe {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

/// As many as the kubelet names.
const MAX_REDIRECTS: usize = 10;

impl ProbeKind for HttpGetProbe {
    const KEY: &'static str = "httpGet";
    type Spec = HttpGetSpec;

    fn build(spec: HttpGetSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let port = component.port(&spec.port).map_err(|err| err.at("port"))?;
        let client = client().map_err(|err| SpecError::new(err.to_string()))?;
        Ok(Self { client, url: url(&spec, port)?, headers: headers(&spec.http_headers)? })
    }
}

#[async_trait]
impl HealthProbe for HttpGetProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        let (mut url, mut redirects) = (self.url.clone(), 0);
        let mut response = loop {
            let request = self.client.get(url.clone()).headers(self.headers.clone());
            let response = match request.send().await {
                Ok(response) => response,
                Err(err) => return no_answer(&err, err.url().unwrap_or(&url)),
            };
            match location(&response).map(|location| url.join(&location)) {
                Some(Ok(next)) if next.host() == self.url.host() => url = next,
                _ => break response,
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return ProbeResult::failure(format!("more than 10 redirects from {}", self.url));
            }
        };
        let body = match beginning_of_body(&mut response).await {
            Ok(body) => body,
            Err(err) => return no_answer(&err, response.url()),
        };
        // A password that a redirect has told is in `url`, and not in this one.
        let mut said = format!("HTTP {} from {}", response.status(), response.url());
        if let Some(location) = location(&response) {
            let shown = excerpt(&location);
            return match url.join(&location) {
                Err(_) => ProbeResult::failure(format!("{said}: its Location, `{shown}`, is no URL")),
                Ok(_) => ProbeResult::Warning(format!(
                    "{said}: redirect to another host, {shown}, is not followed"
                )),
            };
        }
        match response.status().as_u16() {
            200..300 => ProbeResult::Success,
            300..400 => ProbeResult::Warning(said),
            _ => {
                let body = excerpt(&body);
                if !body.is_empty() {
                    said = format!("{said}: {body}");
                }
                ProbeResult::failure(said)
            }
        }
    }
}

/// Where an answer redirects to, if it does.
fn location(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|location| !location.is_empty())?;
    let redirects = matches!(response.status().as_u16(), 301..=303 | 307 | 308);
    redirects.then(|| String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Reads as much of the body as the kubelet does; a server may send without end.
async fn beginning_of_body(response: &mut Response) -> reqwest::Result<String> {
    const MAX_BODY: usize = 10 * 1024;
    let mut body = Vec::new();
    while body.len() < MAX_BODY
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_BODY);
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Says why there is no answer from a URL: the innermost cause that a person can act on.
fn no_answer(err: &reqwest::Error, url: &Url) -> ProbeResult {
    if let Some(unknown) = causes(err).find_map(|cause| cause.downcast_ref::<NoConnection>()) {
        return unknown.clone().into();
    }
    // A URL has brackets around an IPv6 address.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let system = causes(err).find_map(|cause| cause.downcast_ref::<io::Error>());
    let reason = match system {
        Some(system) if err.is_connect() => {
            if system.raw_os_error().is_none() {
                format!("no TLS with {url}: {system}")
            } else if host.eq_ignore_ascii_case("localhost") {
                connect_failure(system, host, port, &LOCALHOST)
            } else {
                connect_failure(system, host, port, &[])
            }
        }
        _ => format!("no valid HTTP answer from {url}: {}", innermost(err)),
    };
    match system {
        Some(system) => unanswered(system, reason),
        None => ProbeResult::Failure(reason),
    }
}

fn innermost(err: &(dyn Error + 'static)) -> String {
    causes(err).last().unwrap_or(err).to_string()
}

fn url(spec: &HttpGetSpec, port: u16) -> Result<Url, SpecError> {
    let scheme = match spec.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let slash = if spec.path.starts_with('/') { "" } else { "/" };
    let mut url = Url::parse(&format!("{scheme}://localhost{slash}{}", spec.path))
        .map_err(|err| SpecError::new(err.to_string()).at("path"))?;
    let is_host = match spec.host.parse::<IpAddr>() {
        Ok(address) => url.set_ip_host(address).is_ok(),
        Err(_) => !spec.host.contains(':') && url.set_host(Some(&spec.host)).is_ok(),
    };
    if !is_host || url.set_port(Some(port)).is_err() {
        return Err(SpecError::new("must be a host name or an IP address").at("host"));
    }
    Ok(url)
}

fn headers(given: &[HttpHeader]) -> Result<HeaderMap, SpecError> {
    let mut headers = HeaderMap::new();
    for (i, HttpHeader { name, value }) in given.iter().enumerate() {
        let at = |field: &str, rule: &str| SpecError::new(rule).at(field).at(format!("httpHeaders[{i}]"));
        let name: HeaderName = name.parse().map_err(|_| at("name", "must be the name of an HTTP header"))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| at("value", "must not contain line breaks or control characters"))?;
        headers.append(name, value);
    }
    let defaults = [
        (USER_AGENT, Some(vitald_net::USER_AGENT)),
        (ACCEPT, Some("*/*")),
        (HOST, None),
        (CONNECTION, Some("close")),
    ];
    for (name, default) in defaults {
        match (headers.get(&name), default) {
            (None, Some(default)) => drop(headers.insert(name, HeaderValue::from_static(default))),
            // An empty `Accept` stays: without it reqwest would send its own, `*/*`.
            (Some(value), _) if value.is_empty() && name != ACCEPT => drop(headers.remove(name)),
            _ => {}
        }
    }
    Ok(headers)
}

fn client() -> Result<Client, Box<dyn Error>> {
    // ::1 first: reqwest tells the last error, and a machine without IPv6 has nothing to say about ::1.
    let [v4, v6] = LOCALHOST.map(|address| SocketAddr::new(address, 0));
    let client = Client::builder()
        .tls_backend_preconfigured(tls::client()?)
        .dns_resolver(Names)
        .resolve_to_addrs("localhost", &[v6, v4])
        .redirect(Policy::none())
        .pool_max_idle_per_host(0)
        .no_proxy()
        .http1_only()
        .http1_title_case_headers()
        .build()?;
    Ok(client)
}

/// Looks names up as the other probes do.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // reqwest puts the URL's port in the place of this one.
            let found = addresses(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
