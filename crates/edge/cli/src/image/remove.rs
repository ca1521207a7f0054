//! `rmi`, `image rm`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::{Failure, Failures};
use crate::matches::Matches;
use crate::session::Session;
use crate::streams;
use hull_api_types::ImageDeleteItem;
use hull_client::Method;

pub static REMOVE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    names: &["image rm", "image remove", "rmi"],
    flags: &[
        Flag::switch("force", "Force removal of the image").short('f'),
        Flag::switch("no-prune", "Do not delete untagged parents"),
        Flag::list(
            "platform",
            "strings",
            "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
        ),
    ],
    arguments: Arguments::AtLeast(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(remove(session, matches))),
};

async fn remove(session: &Session, matches: &Matches) -> Result<(), Failure> {
    if matches.changed("platform") {
        return Err("--platform is not available yet: Hull keeps one platform of an image".into());
    }
    let client = session.client().await?;
    let (force, keep) = (matches.switch("force"), matches.switch("no-prune"));
    let mut failures = Failures::new();
    let mut only_absent = true;
    for name in matches.arguments() {
        let call = client.request(Method::DELETE, &format!("/images/{name}")).query(|query| {
            query.flag("force", force).flag("noprune", keep);
        });
        match call.fetch::<Vec<ImageDeleteItem>>().await {
            Ok(items) => {
                for item in &items {
                    streams::print_line(&super::prune::line(item, "Untagged", "Deleted"));
                }
            }
            Err(error) => {
                only_absent &= error.is_not_found();
                failures.push(error);
            }
        }
    }
    match failures.into_result() {
        // With --force an absent image is told of, and no failure.
        Err(failure) if force && only_absent => {
            streams::complain(&failure.message);
            Ok(())
        }
        result => result,
    }
}
