//! `login`.

use crate::command::{Action, Arguments, Command, Flag};
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use crate::{credentials, streams};
use hull_api_types::{AuthConfig, AuthResponse};
use hull_client::Method;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{BufRead, Read};

pub static LOGIN: Command = Command {
    usage: "[OPTIONS] [SERVER]",
    about: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    names: &[],
    flags: &[
        Flag::text("password", "string", "Password or Personal Access Token (PAT)").short('p'),
        Flag::switch("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag::text("username", "string", "Username").short('u'),
    ],
    arguments: Arguments::AtMost(1),
    interspersed: true,
    action: Action::Run(|session, matches| Box::pin(login(session, matches))),
};

async fn login(session: &Session, matches: &Matches) -> Result<(), Failure> {
    let (user, password) = (matches.text("username"), matches.text("password"));
    let from_stdin = matches.switch("password-stdin");
    if !password.is_empty() {
        streams::complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if from_stdin {
            return Err("--password and --password-stdin are mutually exclusive".into());
        }
    }
    if from_stdin && user.is_empty() {
        return Err("Must provide --username with --password-stdin".into());
    }
    let key = server_key(matches.argument(0));
    let config = session.config();
    // A helper that does not work is told of when the new login is given to it.
    let stored = credentials::find(config, &key).unwrap_or_default();
    let interactive = user.is_empty() && password.is_empty();
    let auth = match (interactive, &stored) {
        // What is stored is tried first, as nobody gave anything else.
        (true, Some(stored)) => match authenticate(session, stored).await {
            Ok(answer) => return finish(session, stored.clone(), answer),
            Err(_) => ask(user, stored.username.as_str())?,
        },
        _ if from_stdin => (user.to_owned(), read_stdin()?),
        _ if !user.is_empty() && !password.is_empty() => (user.to_owned(), password.to_owned()),
        _ => ask(user, stored.as_ref().map_or("", |auth| auth.username.as_str()))?,
    };
    let auth = AuthConfig { username: auth.0, password: auth.1, serveraddress: key, ..AuthConfig::default() };
    let answer = authenticate(session, &auth).await?;
    finish(session, auth, answer)
}

/// The key under which a server's login is kept.
pub fn server_key(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    match host {
        "" => credentials::HUB.to_owned(),
        host => credentials::key_of(host).to_owned(),
    }
}

async fn authenticate(session: &Session, auth: &AuthConfig) -> Result<AuthResponse, Failure> {
    let client = session.client().await?;
    Ok(client.request(Method::POST, "/auth").json(auth).fetch().await?)
}

fn finish(session: &Session, mut auth: AuthConfig, answer: AuthResponse) -> Result<(), Failure> {
    if !answer.identity_token.is_empty() {
        auth.password = String::new();
        auth.identitytoken = answer.identity_token;
    }
    let key = auth.serveraddress.clone();
    let in_file = super::store::keep(session.config(), &key, &auth)?;
    if in_file {
        let path = session.config().directory.join("config.json");
        streams::complain(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    if !answer.status.is_empty() {
        streams::print_line(&answer.status);
    }
    Ok(())
}

/// The whole of standard input, without the last line's end.
fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("reading the password: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(user: &str, known: &str) -> Result<(String, String), Failure> {
    let input = rustix::stdio::stdin();
    if !streams::is_terminal(input) {
        return Err("Error: Cannot perform an interactive login from a non TTY device".into());
    }
    let user = match user {
        "" => {
            let hint = if known.is_empty() { String::new() } else { format!(" ({known})") };
            streams::print(&format!("Username{hint}: "));
            match read_line()? {
                text if text.is_empty() => known.to_owned(),
                text => text,
            }
        }
        given => given.to_owned(),
    };
    if user.is_empty() {
        return Err("Error: Non-null Username Required".into());
    }
    streams::print("Password: ");
    let modes = tcgetattr(input).map_err(|error| Failure::new(format!("the terminal: {error}")))?;
    let mut silent = modes.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let _ = tcsetattr(input, OptionalActions::Now, &silent);
    let password = read_line();
    let _ = tcsetattr(input, OptionalActions::Now, &modes);
    streams::print("\n");
    match password? {
        text if text.is_empty() => Err("Error: Password Required".into()),
        text => Ok((user, text)),
    }
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("reading the terminal: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_one_key_each() {
        assert_eq!(server_key(""), credentials::HUB);
        assert_eq!(server_key("docker.io"), credentials::HUB);
        assert_eq!(server_key("https://localhost:5000/v2/"), "localhost:5000");
        assert_eq!(server_key("127.0.0.1:5000"), "127.0.0.1:5000");
    }
}
