//! Who takes part.

use vitald_tests::free_port;

/// Nobody asks anything of them and nothing happens to them: they run from the first moment to the last.
pub(crate) const CALM: &[&str] = &[
    "web",
    "web-slow",
    "tcp",
    "grpc",
    "demo",
    "runaways",
    "forker",
    "writer",
    "writer-fast",
    "stubborn",
    "page",
    "page-on-page",
    "warming",
    "hooked",
    "probed-exec",
    "probed-pid",
    "limited",
    "after-retry",
];

/// Commanded all the time; two share a thread.
pub(crate) const BUSY: &[&str] = &["busy", "busy-stubborn", "busy-crasher", "busy-runaways"];

/// How often each of these is started: as often as its schedule says, whatever happens to the supervisor.
pub(crate) const SCHEDULED: &[(&str, usize)] =
    &[("crasher", 5), ("gives-up", 4), ("once", 1), ("fails", 1), ("retry", 3)];

/// Crashes for as long as the test lasts, and leaves children behind.
pub(crate) const ENDLESS: &[&str] = &["crasher-endless", "crasher-forker"];

/// What one of them looks like; `$` is for braces that the manifest has anyway.
fn traced(name: &str, act: &str, more: &str) -> String {
    format!(
        "metadata: {{name: {name}}}\nspec:\n  command: [vitald-fixture, traced, TRACES, {act}]\n{}",
        more.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    )
}

/// Patient: a busy machine is no reason to restart anything.
fn probes(handler: &str) -> String {
    format!(
        "livenessProbe: {{{handler}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 20}}
         readinessProbe: {{{handler}, periodSeconds: 0.5, timeoutSeconds: 0.5, failureThreshold: 40}}"
    )
}

pub(crate) fn manifests() -> String {
    let quick = "restart: {maxRestarts: 10000, backoff: {initialSeconds: 0.2, maxSeconds: 0.6}}";
    let [web, slow, tcp, warming, demo, grpc_http, grpc] = [(); 7].map(|()| free_port());
    let http = |port| format!("httpGet: {{path: /, port: {port}}}");
    let healthz = |port| format!("httpGet: {{path: /healthz, port: {port}}}");
    let socket = |port| format!("tcpSocket: {{port: {port}}}");
    let starts = |handler: String| {
        format!(
            "startupProbe: {{{handler}, periodSeconds: 0.2, timeoutSeconds: 0.2, failureThreshold: 500}}\n"
        )
    };
    let endless = ["1@2000,3@2600,SIGKILL@1500"; 40].join(",");
    let all = [
        traced("web", &format!("serve, '{web}'"), &probes(&http(web))),
        traced("web-slow", &format!("serve, '{slow}', '1500'"), &(starts(http(slow)) + &probes(&http(slow)))),
        traced("tcp", &format!("serve, '{tcp}'"), &(starts(socket(tcp)) + &probes(&socket(tcp)))),
        traced(
            "grpc",
            &format!("exec, vitald-demo, --http-port, '{grpc_http}', --grpc-port, '{grpc}'"),
            &probes(&format!("grpc: {{port: {grpc}}}")),
        ),
        traced("demo", &format!("exec, vitald-demo, --http-port, '{demo}'"), &probes(&healthz(demo))),
        traced(
            "runaways",
            "runaways, TRACES, setsid, env, 'setsid,env', 'setsid,fds'",
            "terminationGracePeriodSeconds: 1",
        ),
        traced("forker", "runaways, TRACES, group, group, group", "terminationGracePeriodSeconds: 1"),
        traced("writer", "write, '20'", ""),
        traced("writer-fast", "write, '2'", ""),
        traced("stubborn", "stubborn", "terminationGracePeriodSeconds: 1"),
        traced("page", "sleep", "dependsOn: [{name: web}, {name: grpc}]"),
        traced("page-on-page", "sleep", "dependsOn: [{name: page}]"),
        traced("warming", &format!("serve, '{warming}', '4000'"), &starts(socket(warming))),
        traced(
            "hooked",
            "sleep",
            "lifecycle: {postStart: {exec: {command: ['true']}}, preStop: {exec: {command: [sleep, '0.2']}}}",
        ),
        traced("probed-exec", "sleep", &probes("exec: {command: ['true']}")),
        traced("probed-pid", "sleep", &probes("pid: {}")),
        traced("limited", "sleep", "resources: {limits: {memory: 256Mi, cpu: '1', openFiles: 512}}"),
        traced("once", "schedule, '0@700'", "restartPolicy: Never"),
        traced("fails", "schedule, '4@700'", "restartPolicy: Never"),
        traced("retry", "schedule, '1@600,2@600,0@600'", &format!("restartPolicy: OnFailure\n{quick}")),
        traced("after-retry", "sleep", "dependsOn: [{name: retry, condition: Completed}]"),
        traced("crasher", "schedule, '3@1500,SIGKILL@700,9@2500,1@900'", quick),
        traced(
            "gives-up",
            "schedule, '1@600,1@600,1@600,1@600,1@600,1@600'",
            "restart: {maxRestarts: 3, backoff: {initialSeconds: 0.3}}",
        ),
        traced("crasher-endless", &format!("schedule, '{endless}'"), quick),
        traced(
            "crasher-forker",
            "runaways-then-exit, TRACES, '1', '2500', group, setsid",
            &format!("terminationGracePeriodSeconds: 0.3\n{quick}"),
        ),
        traced("victim", "sleep", quick),
        traced(
            "sick",
            "sleep",
            &format!(
                "{quick}
                 livenessProbe: {{exec: {{command: [test, '!', -e, sick]}}, periodSeconds: 0.3, \
                 timeoutSeconds: 0.3, failureThreshold: 2}}"
            ),
        ),
        traced("busy", "sleep", ""),
        traced("busy-stubborn", "stubborn", "terminationGracePeriodSeconds: 0.4"),
        traced("busy-crasher", &format!("schedule, '{endless}'"), quick),
        traced("busy-runaways", "runaways, TRACES, setsid, group", "terminationGracePeriodSeconds: 0.4"),
        traced("halted", "sleep", ""),
    ];
    all.join("\n---\n")
}

/// The document that is changed and applied all the time.
pub(crate) fn changing(version: usize) -> String {
    format!(
        "apiVersion: vitald/v1\nkind: Component\n{}",
        traced("changing", "sleep", &format!("env: [{{name: VERSION, value: 'v{version}'}}]"))
    )
}
