//! Credentials as the Engine API carries them.

use crate::Images;
use crate::error::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hull_api_types::{AuthConfig, AuthResponse};
use hull_registry_client::{Auth, RegistryError};

/// The registry client's form of `given`, its `auth` field (`base64(user:password)`) included.
pub(crate) fn credentials(given: &AuthConfig) -> Result<Auth> {
    let mut auth = Auth {
        username: given.username.clone(),
        password: given.password.clone(),
        identity_token: given.identitytoken.clone(),
        registry_token: given.registrytoken.clone(),
    };
    if auth.username.is_empty() && !given.auth.is_empty() {
        let malformed =
            || RegistryError::Unauthorized("unauthorized: malformed auth field in credentials".into());
        let raw = STANDARD.decode(given.auth.trim()).map_err(|_| malformed())?;
        let text = String::from_utf8(raw).map_err(|_| malformed())?;
        let (username, password) = text.split_once(':').ok_or_else(malformed)?;
        auth.username = username.into();
        auth.password = password.trim_end_matches('\0').into();
    }
    Ok(auth)
}

pub(crate) async fn login(images: &Images, given: &AuthConfig) -> Result<AuthResponse> {
    let identity = images.registry().login(&given.serveraddress, &credentials(given)?).await?;
    Ok(AuthResponse { status: "Login Succeeded".into(), identity_token: identity.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::credentials;
    use hull_api_types::AuthConfig;

    #[test]
    fn the_auth_field_counts_where_there_is_no_user() {
        let given = AuthConfig { auth: "YW5uOnBhOnNz".into(), ..AuthConfig::default() };
        let auth = credentials(&given).unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("ann", "pa:ss"));
        let broken = AuthConfig { auth: "%%".into(), ..AuthConfig::default() };
        assert!(credentials(&broken).is_err());
    }
}
