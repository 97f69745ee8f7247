//! `postgres`: healthy when PostgreSQL answers a query, and answers it well.
//!
//! It asks in a transaction that may only read, and that the server ends by itself where nobody waits any more. A
//! server that does not answer, or has no room for one more, fails. Where it is the question that is wrong (a
//! password, a name, the query's grammar), nothing is known of the server: a restart would mend nothing.

mod answer;
mod refusal;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use vitald_sdk::async_trait;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_sdk::wording::{host_port, system_error};

use crate::answer::Expected;

/// Healthy when PostgreSQL answers a query, and the first value of the answer is good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresSpec {
    /// Port of the server: a number, or the name of one of the component's ports. Defaults to 5432.
    #[serde(default = "postgres_port")]
    pub port: PortRef,
    /// Host name, IP address, or the folder of the server's Unix socket. Defaults to `localhost`. The connection
    /// is not encrypted.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
    /// Who asks. Defaults to `postgres`.
    #[serde(default = "postgres")]
    #[schemars(length(min = 1))]
    pub user: String,
    /// A file with the password in its first line; a relative path starts at the component's working directory.
    /// It is read for each check.
    pub password_file: Option<PathBuf>,
    /// Database to connect to. Defaults to that of the user's name.
    pub database: Option<String>,
    /// One query, which may only read. Its first row's first value is the answer: false, NULL or no row at all is
    /// bad. Defaults to `SELECT true`.
    #[serde(default = "select_true")]
    #[schemars(length(min = 1))]
    pub query: String,
    /// The most that the answer, a number, may be.
    pub max: Option<f64>,
    /// The least that the answer, a number, may be.
    pub min: Option<f64>,
}

fn postgres_port() -> PortRef {
    PortRef::Number(5432)
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn postgres() -> String {
    "postgres".to_owned()
}

fn select_true() -> String {
    "SELECT true".to_owned()
}

/// Asks the server of a [`PostgresSpec`].
pub struct PostgresProbe {
    server: Config,
    /// `host:port`, for people.
    name: String,
    password_file: Option<PathBuf>,
    query: String,
    expected: Expected,
}

impl ProbeKind for PostgresProbe {
    const KEY: &'static str = "postgres";
    type Spec = PostgresSpec;

    fn build(spec: PostgresSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let port = component.port(&spec.port).map_err(|err| err.at("port"))?;
        for (field, value) in [("host", &spec.host), ("user", &spec.user), ("query", &spec.query)] {
            if value.trim().is_empty() {
                return Err(SpecError::new("must not be empty").at(field));
            }
        }
        if let (Some(min), Some(max)) = (spec.min, spec.max)
            && min > max
        {
            return Err(SpecError::new(format!("must not be more than `max`, {max}")).at("min"));
        }
        let mut server = Config::new();
        server.host(&spec.host).port(port).user(&spec.user).application_name("vitald");
        if let Some(database) = &spec.database {
            server.dbname(database);
        }
        Ok(Self {
            server,
            name: host_port(&spec.host, port),
            password_file: spec.password_file.map(|file| component.working_dir.join(file)),
            query: spec.query,
            expected: Expected { min: spec.min, max: spec.max },
        })
    }
}

#[async_trait]
impl HealthProbe for PostgresProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match timeout(cx.timeout, self.ask(cx.timeout)).await {
            Ok(Ok(verdict) | Err(verdict)) => verdict,
            Err(_elapsed) => {
                let (server, within) = (&self.name, cx.timeout.as_secs_f64());
                ProbeResult::failure(format!("no answer from {server} within {within} s"))
            }
        }
    }
}

impl PostgresProbe {
    async fn ask(&self, limit: Duration) -> Result<ProbeResult, ProbeResult> {
        let mut server = self.server.clone();
        if let Some(file) = &self.password_file {
            server.password(password(file).await?);
        }
        let refused = |err| refusal::verdict(&err, &self.name);
        let (client, connection) = server.connect(NoTls).await.map_err(refused)?;
        let mut connection = pin!(connection);
        let answer = tokio::select! {
            biased;
            Err(err) = &mut connection => return Err(refused(err)),
            answer = self.transaction(&client, limit) => answer,
        };
        // It says goodbye when its client is gone; the server's log would have it as an accident else.
        drop(client);
        let _ = connection.await;
        answer.map_err(refused)
    }

    async fn transaction(
        &self,
        client: &Client,
        limit: Duration,
    ) -> Result<ProbeResult, tokio_postgres::Error> {
        let limit = limit.as_millis().max(1);
        client.batch_execute(&format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}")).await?;
        // To prepare it tells the type of the answer, and that it is one query and not several.
        let prepared = client.prepare(&self.query).await?;
        let Some(column) = prepared.columns().first() else {
            return Ok(ProbeResult::unknown("the query gives no value: it is none that asks"));
        };
        let rows = client.simple_query(&self.query).await?;
        let row = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0)),
            _ => None,
        });
        Ok(self.expected.judge(row, column.type_()))
    }
}

/// The first line of a file, which is told to nobody but the server.
async fn password(file: &Path) -> Result<String, ProbeResult> {
    let cannot = |err: io::Error| {
        let (file, err) = (file.display(), system_error(&err));
        ProbeResult::unknown(format!("the password in {file} cannot be read: {err}"))
    };
    let text = tokio::fs::read_to_string(file).await.map_err(cannot)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

vitald_sdk::export_probe!(PostgresProbe);
