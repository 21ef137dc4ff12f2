package web

import (
	"net"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// TrustProxies names the client behind the given proxies by their X-Forwarded-For. Any other peer
// could write that header itself, so it is named by its own address. Without networks, every client
// is.
func TrustProxies(networks []netip.Prefix) echo.IPExtractor {
	if len(networks) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range networks {
		n = n.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP:   n.Addr().AsSlice(),
			Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}
