export default { fetch: async (request) => new Response(`object ${request.method}`) };
