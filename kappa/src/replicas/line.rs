//! One connection to a server.

use super::address::Address;
use super::server::Trouble;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// One connection to a server, for any number of requests at once.
#[derive(Clone)]
pub(super) enum Line {
    /// A real one.
    Redis(MultiplexedConnection),
    /// One of the simulation.
    #[cfg(test)]
    Simulated(super::simulation::Connection),
}

impl Line {
    pub(super) async fn ask(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        match self {
            Line::Redis(connection) => connection.clone().send_packed_command(cmd).await,
            #[cfg(test)]
            Line::Simulated(connection) => connection
                .ask_all(vec![cmd.clone()])
                .await
                .map(|mut answers| answers.remove(0)),
        }
    }

    /// The answers to all of these, errors of the server among them.
    pub(super) async fn ask_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        match self {
            Line::Redis(connection) => {
                let mut connection = connection.clone();
                connection.send_packed_commands(pipeline, 0, pipeline.len()).await
            }
            #[cfg(test)]
            Line::Simulated(connection) => connection.ask_all(pipeline.cmd_iter().cloned().collect()).await,
        }
    }
}

/// Connects. What reads the answers ends with the handle that is added to the drivers.
pub(super) async fn connect(address: &Address, drivers: &mut Vec<AbortHandle>) -> Result<Line, Trouble> {
    #[cfg(test)]
    if let Some(network) = address.network() {
        return network.connect(address.name(), drivers).await;
    }
    let stream = TcpStream::connect(address.host_and_port()).await;
    let stream = stream.map_err(|cause| Trouble::Gone(cause.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|cause| Trouble::Gone(cause.to_string()))?;
    match address.tls() {
        None => speak(address, stream, drivers).await,
        Some(tls) => {
            let (host, _) = address.host_and_port();
            let stream = tls.connect(host, stream).await?;
            speak(address, stream, drivers).await
        }
    }
}

async fn speak<C>(address: &Address, stream: C, drivers: &mut Vec<AbortHandle>) -> Result<Line, Trouble>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None);
    let info = address.info().redis_settings();
    let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
    drivers.push(tokio::spawn(driver).abort_handle());
    Ok(Line::Redis(connection))
}
