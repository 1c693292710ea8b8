// Calls a real SDK: node send.mjs <sdk> <url> <write key> seven|many
// Prints one line of JSON: the errors the SDK reported.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const [sdk, url, key, what] = process.argv.slice(2)
const LONG_AGO = new Date('2026-03-29T01:30:00.000Z')
const MANY = 250
const errors = []

const makers = {
  segment() {
    const { Analytics } = require('@segment/analytics-node')
    const client = new Analytics({ writeKey: key, host: url, flushAt: 50, flushInterval: 50, maxRetries: 10 })
    client.on('error', (error) => errors.push(String(error.code ?? error)))
    return [client, () => client.closeAndFlush({ timeout: 60000 })]
  },
  legacy() {
    const Analytics = require('analytics-node')
    const client = new Analytics(key, {
      host: url, flushAt: 50, flushInterval: 50, retryCount: 10, errorHandler: (error) => errors.push(String(error)),
    })
    return [client, () => client.flush()]
  },
  rudderstack() {
    const Analytics = require('@rudderstack/rudder-sdk-node')
    const client = new Analytics(key, {
      dataPlaneUrl: url, flushAt: 50, flushInterval: 50, retryCount: 10, errorHandler: (error) => errors.push(String(error)),
    })
    return [client, () => new Promise((resolve) => client.flush(resolve))]
  },
}

const [client, finish] = makers[sdk]()
const calls = []
// Each call's callback comes when its batch was answered, retries included.
const call = (name, message) =>
  calls.push(new Promise((resolve) => client[name](message, (error) => {
    if (error) errors.push(String(error.message ?? error))
    resolve()
  })))

if (what === 'seven') {
  call('identify', { userId: 'u-1', traits: { email: 'anna@example.com', age: 31 } })
  call('track', { userId: 'u-1', event: 'Product Added', properties: { price: 12.5 }, timestamp: LONG_AGO, originalTimestamp: LONG_AGO })
  call('track', { anonymousId: 'anon-42', event: 'Order Completed', properties: { revenue: 99.95 } })
  call('page', { userId: 'u-1', category: 'Docs', name: 'Pricing', properties: { url: 'https://shop.example/pricing' } })
  call('screen', { userId: 'u-1', name: 'Home' })
  call('group', { userId: 'u-1', groupId: 'g-3', traits: { name: 'Ünïcøde GmbH 🛒' } })
  call('alias', { userId: 'u-1', previousId: 'anon-42' })
} else {
  for (let n = 0; n < MANY; n++) call('track', { userId: 'u-1', event: 'Viewed', properties: { n } })
}

await Promise.all([finish(), ...calls])
console.log(JSON.stringify(errors))
process.exit(0)
