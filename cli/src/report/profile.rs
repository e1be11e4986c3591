//! The table of `--profile`: how long each agent worked and waited, and for what it waited.

use septet_engine::Report;
use septet_ipc::AgentKind;
use septet_ipc::message::Status;

const HEAD: &str =
    "agent         workers   CPU s   busy  volume/store   slot  input  messages  queue mean/most  pool mean/most/size";
const LEGEND: &str = "shares of the workers' time: busy working; waiting for the volume or the store, a free slot of \
shared memory, input;\nreading, coding and writing messages. queue: waiting messages. pool: memory in use, MiB.";

/// The lines of the table and, last, the bottleneck.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let agents: Vec<&Status> = report.agents.iter().filter(|agent| agent.worker_ms > 0).collect();
    let mut lines = vec![HEAD.to_owned()];
    lines.extend(agents.iter().map(|agent| line(agent)));
    let told_ms: u64 = agents.iter().map(|agent| agent.cpu_ms).sum();
    let rest = (report.usage.cpu_seconds - told_ms as f64 / 1e3).max(0.0);
    lines.push(format!("{:<14}{:>7}{rest:>8.2}", "start and end", ""));
    lines.extend(LEGEND.lines().map(str::to_owned));
    lines.extend(binding(&agents));
    lines
}

fn line(agent: &Status) -> String {
    let share = |ms: u64| format!("{:.0} %", 100.0 * share(ms, agent));
    let spent = agent.busy_ms + agent.io_ms + agent.slot_ms + agent.input_ms;
    let pool = match agent.pool_bytes {
        0 => "-".to_owned(),
        all => [agent.pool_mean_bytes, agent.pool_most_bytes, all].map(mib).join("/"),
    };
    format!(
        "{:<14}{:>7}{:>8.2}{:>7}{:>14}{:>7}{:>7}{:>10}{:>17}{pool:>21}",
        agent.agent.to_string(),
        agent.workers,
        agent.cpu_ms as f64 / 1e3,
        share(agent.busy_ms),
        share(agent.io_ms),
        share(agent.slot_ms),
        share(agent.input_ms),
        share(agent.worker_ms.saturating_sub(spent)),
        format!("{:.1}/{}", agent.queue_mean, agent.queue_most),
    )
}

/// The bottleneck: the agent whose workers have the least idle time. The other agents wait for it.
fn binding(agents: &[&Status]) -> Option<String> {
    let taken = |agent: &Status| share(agent.busy_ms + agent.io_ms, agent);
    let most = agents.iter().max_by(|a, b| taken(a).total_cmp(&taken(b)))?;
    let what = match most.agent {
        _ if most.io_ms <= most.busy_ms => "work",
        AgentKind::Reader | AgentKind::Volumewriter => "the volume",
        _ => "the store",
    };
    let percent = 100.0 * taken(most);
    Some(format!("limited by {}: {percent:.0} % of its workers' time, mostly {what}", most.agent))
}

fn share(ms: u64, agent: &Status) -> f64 {
    ms as f64 / agent.worker_ms.max(1) as f64
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
