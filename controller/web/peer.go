package web

import (
	"net"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// TrustProxies makes the log name the client behind the given proxies, as they tell it in X-Forwarded-For. Any other peer could write that
// header itself, so it is named by its own address. Without networks it is the direct peer always.
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
