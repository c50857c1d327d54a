import { ApolloServer } from '@apollo/server';

export const handler = async () => {
  const server = new ApolloServer({ typeDefs: 'type Query { hello(name: String!): String! }', resolvers: { Query: { hello: (_, { name }) => `hello ${name}` } } });
  const { body } = await server.executeOperation({ query: 'query ($n: String!) { hello(name: $n) }', variables: { n: 'weir' } });
  return body.singleResult;
};
