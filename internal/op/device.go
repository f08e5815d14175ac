package op

import (
	"errors"
	"net/url"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/device"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// letsDevicesIn reports whether there is a device grant: without pages where somebody can sign in, a device would
// wait for nobody.
func (a *API) letsDevicesIn() bool { return a.Devices != nil && a.Sessions != nil && a.SignIn != nil }

// deviceAuthorize gives a device its codes (RFC 8628 3.1).
func (a *API) deviceAuthorize(c *call) (reply, error) {
	if !a.letsDevicesIn() {
		return reply{}, errNotFound
	}
	client, err := a.client(c)
	if err != nil {
		return reply{}, err
	}
	if !client.May(oauth.DeviceCode) {
		return reply{}, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The client may not use this grant type."}
	}
	if err := a.within(c, client); err != nil {
		return reply{}, err
	}
	scopes, err := c.realm.Grantable(client, oauth.DeviceCode, c.params["scope"])
	if err != nil {
		return reply{}, err
	}
	codes, err := a.Devices.Open(c.Context(), device.Asked{Server: c.realm.ID, Client: client.ID, Scopes: scopes})
	if err != nil {
		return reply{}, err
	}
	where, shown := a.Origin+activation, device.Show(codes.User)
	return jsonReply(struct {
		Device   string `json:"device_code"`
		User     string `json:"user_code"`
		URI      string `json:"verification_uri"`
		Complete string `json:"verification_uri_complete"`
		Expires  int    `json:"expires_in"`
		Interval int    `json:"interval"`
	}{codes.Device.Reveal(), shown, where, where + "?" + url.Values{"user_code": {shown}}.Encode(), int(device.Lifetime.Seconds()), int(device.Interval.Seconds())}), nil
}

// What a device is told while it waits (RFC 8628 3.5).
var (
	errPending  = &oauth.Error{Code: oauth.AuthorizationPending, Description: "Nobody has decided yet."}
	errSlowDown = &oauth.Error{Code: oauth.SlowDown, Description: "The device asks too often: wait 5 seconds longer from now on."}
	errDenied   = &oauth.Error{Code: oauth.AccessDenied, Description: "The request was denied."}
	errExpired  = &oauth.Error{Code: oauth.ExpiredToken, Description: "The device code has expired. Begin again."}
	errDevice   = &oauth.Error{Code: oauth.InvalidGrant, Description: "The device code is invalid."}
)

// redeemDevice changes a device code into tokens, once somebody has let the device in. What is refused while it waits
// is committed nevertheless: a poll counts.
func (a *API) redeemDevice(c *call, client oauth.Client, signer keys.Signer) (reply, error) {
	ctx, now := c.Context(), a.Now().UTC()
	if !a.letsDevicesIn() {
		return reply{}, errGrantType
	}
	value, err := c.params.need("device_code")
	if err != nil {
		return reply{}, err
	}
	digest := secret.DigestOf(secret.DeviceCode, value)
	refresh := secret.Random()
	var (
		dev    store.Device
		user   ident.User
		groups []string
		refuse *oauth.Error
	)
	err = a.Store.Update(ctx, func(tx store.Tx) (err error) {
		if dev, err = tx.PollDevice(ctx, digest, now, device.Interval); err != nil {
			return err
		}
		if refuse = judgeDevice(c, client, dev); refuse != nil {
			if refuse == errDevice {
				return refuse // nobody else's poll counts against it
			}
			return nil
		}
		if dev, err = tx.SpendDevice(ctx, digest, now); err != nil {
			return err
		}
		if dev.Grant.Scopes, refuse = left(c, client, dev.Grant, oauth.DeviceCode); refuse != nil {
			return tx.Record(ctx, a.about(c, audit.TokenRefused, false, dev.Grant, refuse.Description))
		}
		if user, err = tx.User(ctx, dev.Grant.User); err != nil {
			return err
		}
		if user.Status != ident.Active {
			refuse = errDenied
			return tx.Record(ctx, a.about(c, audit.TokenRefused, false, dev.Grant, "the user is not active"))
		}
		if groups, err = groupsOf(ctx, tx, user.ID, c.realm.SaysGroups(dev.Grant.Scopes)); err != nil {
			return err
		}
		dev.Grant.Created, dev.Grant.Expires, dev.Grant.Key = now, ends(c.realm.Server, dev.Grant, now), c.binding(client)
		if err := tx.AddGrant(ctx, dev.Grant); err != nil {
			return err
		}
		if dev.Grant.Refreshable() {
			if err := tx.AddRefresh(ctx, newRefresh(c.realm.Server, dev.Grant, refresh, now)); err != nil {
				return err
			}
		}
		return tx.Record(ctx, a.about(c, audit.TokensIssued, true, dev.Grant, ""))
	})
	switch {
	case errors.Is(err, store.ErrSpent):
		return reply{}, a.revokeFamily(c, dev.Grant, audit.CodeReplayed, errDevice) // two hold what one should (S-56)
	case errors.Is(err, store.ErrNotFound):
		return reply{}, errDevice
	case err != nil:
		return reply{}, err
	case refuse != nil:
		return reply{}, refuse
	}
	return a.issue(c, signer, issuance{grant: dev.Grant, scopes: dev.Grant.Scopes, user: user, groups: groups, refresh: refresh, now: now, first: true})
}

func judgeDevice(c *call, client oauth.Client, d store.Device) *oauth.Error {
	switch now := d.Polled; {
	case d.Client != client.ID, d.Server != c.realm.ID:
		return errDevice
	case !d.Used.IsZero():
		return nil // spending it finds out
	case !now.Before(d.Expires):
		return errExpired
	case d.Decided.IsZero() && d.Hasty:
		return errSlowDown
	case d.Decided.IsZero():
		return errPending
	case d.Grant.ID == "":
		return errDenied
	}
	return nil
}

var errGrantType = &oauth.Error{Code: oauth.UnsupportedGrantType, Description: "The grant type is not supported by this server."}
