//! `system check`, which is Hull's own: is everything that is stored whole?

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::streams::print_line;
use hull_api_types::SystemCheck;
use hull_client::Method;
use hull_types::size;

pub static CHECK: Command = Command {
    usage: "[OPTIONS]",
    about: "Read all that is stored of images and report what is damaged or missing",
    names: &[],
    flags: &[Flag::switch("repair", "Fetch again what is damaged or missing, where that can be done")],
    arguments: Arguments::None,
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(check(session, matches))),
};

async fn check(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let repair = matches.switch("repair");
    let client = session.client().await?;
    let method = if repair { Method::POST } else { Method::GET };
    let call = client.request(method, "/system/check").query(|query| {
        query.text("repair", if repair { "1" } else { "" });
    });
    let report: SystemCheck = call.fetch().await?;
    for problem in &report.problems {
        let needed = match problem.images.as_slice() {
            [] => String::new(),
            images => format!(" (of {})", images.join(", ")),
        };
        let repair = if problem.repair.is_empty() { String::new() } else { format!(" - {}", problem.repair) };
        print_line(&format!("{} {}{needed}: {}{repair}", problem.kind, problem.id, problem.error));
    }
    let left = report.problems.iter().filter(|problem| !problem.repaired).count();
    let read = size::decimal(report.bytes as f64);
    print_line(&format!(
        "{} images, {} layers and {} blobs ({read}) checked: {} problems, {left} left",
        report.images,
        report.layers,
        report.blobs,
        report.problems.len()
    ));
    match left {
        0 => Ok(()),
        _ if repair => Err("not everything could be repaired".into()),
        _ => Err("something is damaged: hull system check --repair fetches it again where it can".into()),
    }
}
