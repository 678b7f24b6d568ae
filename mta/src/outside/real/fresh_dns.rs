//! Asks the name servers themselves, without a cache of ours and without exceptions.
//!
//! What a blocklist said a while ago must not pass for a second answer, and who has just mended a record
//! should not wait for an old answer to expire. The resolver beside it also answers by itself for names
//! that are special (RFC 6761), such as the PTR records of loopback addresses: here the servers answer.
//! The servers have caches of their own, by the TTLs of those who publish.

use std::sync::Arc;

use hickory_resolver::config::{NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError, DnsHandle, NetError, RetryDnsHandle};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

/// Name servers that are asked each time.
pub(super) struct FreshDns {
    servers: RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>,
    options: DnsRequestOptions,
}

impl FreshDns {
    /// Asks these servers; of the options those of the transport hold.
    pub(super) fn new(servers: &[NameServerConfig], options: ResolverOpts) -> Result<Self, String> {
        let mut request = DnsRequestOptions::default();
        request.use_edns = options.edns0;
        request.edns_payload_len = options.edns_payload_len;
        request.recursion_desired = true;
        let attempts = options.attempts;
        let tls = TlsConfig::new().map_err(|error| error.to_string())?;
        let context = Arc::new(PoolContext::new(options, tls));
        let provider = TokioRuntimeProvider::default();
        let pool = NameServerPool::from_config(servers.to_vec(), context, provider);
        Ok(Self { servers: RetryDnsHandle::new(pool, attempts), options: request })
    }

    /// What they say. The server follows CNAMEs: it is one that resolves.
    pub(super) async fn ask(&self, name: &str, kind: RecordType) -> Result<DnsResponse, NetError> {
        let name = Name::from_ascii(format!("{name}."))?;
        let response = self.servers.lookup(Query::query(name, kind), self.options);
        Ok(DnsError::from_response(response.first_answer().await?)?)
    }
}
